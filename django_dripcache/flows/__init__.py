"""All cache logic, each piece written once as a generator that yields steps: no Redis and no Django in here."""
