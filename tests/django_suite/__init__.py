"""
Django's own cache and session tests, run against a cache backend: ``python -m tests.django_suite``.

``table`` says which of Django's tests run, and which do not and why; ``suite`` points them at the backend; ``fetch``
gets them from Django's source distribution; ``__main__`` runs them with Django's own ``runtests.py``.
"""
