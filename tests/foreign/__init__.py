"""
Other projects' own tests, run over this package: ``python -m tests.foreign``.

``projects`` says whose tests run, and how; ``fetch`` gets those that are only in a source distribution; ``plugin`` and
``drf`` are plugins of pytest that put this package in the place of what the tests are about. No test is changed, and no
code of others is kept here.
"""
