"""Commands that need no server and no database do not wait for the libraries of one."""

from __future__ import annotations

import subprocess
import sys

import pytest

# typer loads pydantic for the help of a command.
HEAVY = ("asyncio", "numpy", "sqlalchemy", "alembic", "starlette", "uvicorn", "twilio", "requests",
         "websockets", "phonenumbers", "dbos", "genai_prices", "jsonschema", "griffe", "PIL", "dotenv")  # fmt: skip


@pytest.mark.parametrize(
    "code",
    [
        "import telephony",
        "import telephony; telephony.__version__",
        "import telephony.cli; telephony.cli.main()  # --version",
        "import telephony.cli; telephony.cli.main()  # --help",
        "import telephony.cli; telephony.cli.main()  # serve --help",
        "import telephony.cli; telephony.cli.main()  # numbers plan --help",
    ],
)
def test_no_heavy_module_is_loaded(code: str) -> None:
    program = (
        f"import sys\nsys.argv[1:] = {code.partition('# ')[2].split()!r}\n"
        f"try:\n    {code}\n"
        f"finally:\n    print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "[]\n")
