"""A catalogue of the world's airports, cached with django-dripcache."""
