#!/bin/sh
# Type-checks the whole SDK, as strictly as mypy and pyright can, against what componentize-py generates from the contract;
# and a project of the tests as its author sees the SDK: without anything generated. Then installs it as an author does.
# All three are found on PATH, or where MYPY, PYRIGHT and COMPONENTIZE_PY say.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/sdk" "$work/author"
cp -r "$here/armada" "$here/reference/src" "$work/sdk"
cp -r "$here/armada" "$here"/../../tests/projects/python_browser/*.py "$work/author"
"${COMPONENTIZE_PY:-componentize-py}" --quiet --wit-path "$here/../../wit" --world modifying-project bindings "$work/bindings"
echo '{"include": ["armada", "src"], "extraPaths": ["../bindings", "../pytest"], "typeCheckingMode": "strict", "pythonVersion": "3.14",
  "reportMissingModuleSource": "none"}' \
    > "$work/sdk/pyrightconfig.json"
echo '{"exclude": ["armada"], "typeCheckingMode": "standard", "pythonVersion": "3.11"}' > "$work/author/pyrightconfig.json"

# What runs tests is made of parts of pytest: of the version that test builds have, whose own types are its own business.
python3 -m pip install --quiet --target "$work/pytest" pytest==9.2.0
theirs='componentize_py_async_support,wit_world.*,pytest.*,_pytest.*,pluggy.*,iniconfig.*,packaging.*,pygments.*'
printf '[mypy]\nstrict = True\npython_version = 3.14\n[mypy-%s]\nignore_errors = True\n' "$theirs" > "$work/sdk/mypy.ini"

failed=0
cd "$work/sdk"
MYPYPATH="$work/bindings:$work/pytest" "${MYPY:-mypy}" -p armada -p src || failed=1
"${PYRIGHT:-pyright}" || failed=1
cd "$work/author"
"${MYPY:-mypy}" --strict --python-version 3.11 --follow-imports silent ./*.py || failed=1
"${PYRIGHT:-pyright}" || failed=1

cp -r "$here" "$work/source"
python3 -m pip install --quiet --no-deps --target "$work/installed" "$work/source"
cd /
PYTHONPATH="$work/installed" python3 - <<'CHECK' || failed=1
import asyncio

import armada

try:
    asyncio.run(armada.browser.Browser().new_page())
except armada.OutsideError as error:
    assert "armada run" in str(error), error
else:
    raise AssertionError("a call outside the sandbox gave something")
CHECK
exit $failed
