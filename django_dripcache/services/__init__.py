"""What a site keeps in its cache, as services: each one noun, with the verbs and the promises that it needs."""
