"""Environment variables of the tests and of the processes that they start."""

ANY_LOAD = {"TELEPHONY_MAX_LOOP_LAG_S": "3600"}
"""A server under test accepts calls on a machine of any load. The tests of this limit set it themselves. All tests have
these variables. A test that starts a process with a smaller environment adds them."""

NO_OTHER_PLUGINS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
PLUGINS = ("-p", "realtime_core.testing.plugin", "-p", "telephony.replay.pytest_plugin")
"""For a pytest of its own: our plugins by name, and no others. Those take a second of the processor to import."""
