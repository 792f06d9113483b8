#!/usr/bin/python3
"""Checks the shape of the tree: dependency arrows, sizes, the Media seam, coroutine forms.

Usage: tidy.py ROOT.  Prints each finding as file:line: text and ends with `N passed, N failed`.
"""

import pathlib
import re
import sys

# Folder -> folders whose headers it may include (besides itself, std and third parties).
ARROWS = {
    "common/base": [],
    "common/media": ["common/base"],
    "common/wire": ["common/base"],
    "common/transport": ["common/base", "common/wire", "common/media"],
    "server/store": ["common/base", "common/media"],
    "server/pool": ["common/base", "common/media", "server/store"],
    "server/session": ["common/base", "common/wire"],
    "server/dataplane": ["common/base", "common/media", "common/wire", "common/transport",
                         "server/session", "server/pool", "server/store"],
    "server/control": ["common/base", "common/wire", "server/session", "server/pool",
                       "server/store", "common/media"],
    "server/fio": ["common/base", "server/pool", "common/transport"],
    "server/app": ["common", "server"],
    "client/include": ["common/base"],
    "client/src": ["common", "client/include"],
    "client/cli": ["client/include"],
    "client/redirect": ["client/include"],
    "client/example": ["client/include"],
    "python-client/src": ["client/include"],
}
# Third-party headers that only these folders may see.
CONFINED = {
    r"grpc(pp)?/": ["server/control", "client/src"],
    r"pmshelf/v1/.*\.pb\.h": ["server/control", "client/src"],
    r"asio": ["common/transport", "server/app", "server/dataplane"],
    r"libpmem2\.h": ["common/media"],
    r"librpma\.h": ["common/transport/rdma"],
    r"pybind11/": ["python-client/src"],
    r"boost/": [],
}
# Writable addresses of pool memory: Media makes them, the receive path uses them.
POOL_ADDRESS = re.compile(r"(?:\.|->)mapping\(\)|\bmedia::Mapping\b")
POOL_ADDRESS_OWNERS = ["common/media", "common/transport", "server/pool", "server/dataplane"]

FILE_LINES_SOFT, FILE_LINES_HARD = 400, 800
FUNCTION_LINES_SOFT, FUNCTION_LINES_HARD = 40, 70

SOURCES = (".h", ".cc")
TOP = ("common", "server", "client", "python-client", "tests", "bench")
PUBLIC_HEADERS = ("pmshelf/error.h", "pmshelf/result.h")  # std only, for everybody


def files(root):
    for top in TOP:
        for path in sorted((root / top).rglob("*")):
            if path.suffix in SOURCES and path.is_file():
                yield path


def folder_of(name):
    """The longest folder of ARROWS that the file lies in, or None."""
    inside = [folder for folder in ARROWS if name.startswith(folder + "/")]
    return max(inside, key=len, default=None)


def target_folder(include):
    if include in PUBLIC_HEADERS:
        return None
    if include.startswith("pmshelf/") and not include.startswith("pmshelf/v1/"):
        return "client/include"
    return folder_of(include)


def check_includes(name, lines):
    folder = folder_of(name)
    for number, line in enumerate(lines, 1):
        match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
        if not match or folder is None:
            continue
        include = match.group(1)
        target = target_folder(include)
        if target and target != folder:
            allowed = ARROWS[folder]
            if not any(target == a or target.startswith(a + "/") for a in allowed):
                yield number, f"{folder} may not include {target} ({include})"
        for pattern, owners in CONFINED.items():
            if re.match(pattern, include) and not any(name.startswith(o + "/") for o in owners):
                yield number, f"{include} belongs behind {' or '.join(owners) or 'nothing'}"


def check_pool_addresses(name, lines):
    if not name.startswith(("common/", "server/")):
        return
    if any(name.startswith(owner + "/") for owner in POOL_ADDRESS_OWNERS):
        return
    for number, line in enumerate(lines, 1):
        if POOL_ADDRESS.search(line.split("//")[0]):
            yield number, "takes an address of pool memory: go through Media"


# Comments, strings and character constants: blanked out, line breaks kept.
LITERAL = re.compile(r'//[^\n]*|/\*.*?\*/|R"\((?:.*?)\)"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)
SCOPE = re.compile(r"^(?:template\s*<.*>\s*)?(?:inline\s+)?(namespace|class|struct|union|enum|extern)\b")


def matching_brace(code, opening):
    depth = 0
    for at in range(opening, len(code)):
        depth += (code[at] == "{") - (code[at] == "}")
        if depth == 0:
            return at
    return len(code) - 1


def functions(lines):
    """(line number, length) of each function body outside other bodies; lambdas count with theirs."""
    text = "\n".join(line for line in lines if not line.startswith("#"))
    numbers = [n for n, line in enumerate(lines, 1) if not line.startswith("#")]
    code = LITERAL.sub(lambda m: "".join(c if c == "\n" else " " for c in m.group()), text)
    begin, at = 0, 0  # of the present statement; the place looked at
    while at < len(code):
        if code[at] in ";}":
            begin = at + 1
        elif code[at] == "{":
            statement = code[begin:at].strip()
            end = matching_brace(code, at)
            if SCOPE.match(statement) and not statement.endswith(")"):
                begin = at + 1  # look inside
            elif code[end + 1:].lstrip()[:1] in (",", "{"):
                at = end  # a member initialiser: the body is still to come
            else:
                if "(" in statement and not re.search(r"=\s*$", statement):
                    first = code.count("\n", 0, at)
                    last = code.count("\n", 0, end)
                    yield numbers[first], max(0, last - first - 1)
                at, begin = end, end + 1
        at += 1


def check_sizes(name, lines, allow):
    limit = FILE_LINES_HARD if (name in allow or name.startswith("tests/")) else FILE_LINES_SOFT
    if len(lines) > limit:
        yield len(lines), f"file has {len(lines)} lines, limit {limit}"
    if name.startswith(("tests/", "bench/")):
        return
    limit = FUNCTION_LINES_HARD if f"{name}:functions" in allow else FUNCTION_LINES_SOFT
    for number, length in functions(lines):
        if length > limit:
            yield number, f"function has {length} lines, limit {limit}"


def check_coroutines(name, lines):
    for number, line in enumerate(lines, 1):
        code = line.split("//")[0]
        if "co_await" not in code:
            continue
        operand = code.split("co_await", 1)[1]
        if re.search(r"\[[&=\w][^\]]*\]\s*[({]", operand):
            yield number, "capturing lambda inside a co_await expression (g++ 12 miscompiles it)"
        if re.search(r"\b[A-Z]\w*\{", operand):
            yield number, "braced temporary inside a co_await expression (g++ 12 miscompiles it)"
        if " ? " in operand:
            yield number, "?: inside a co_await expression (g++ 12 miscompiles it)"


def check_readmes(root):
    for folder in ARROWS:
        path = root / folder
        sources = [p for p in path.rglob("*") if p.suffix in SOURCES] if path.is_dir() else []
        if sources and folder != "client/include" and not (path / "README.md").is_file():
            yield f"{folder}/README.md", 1, "module without a README"


def self_test():
    """The checks must find what they are for."""
    assert list(check_includes("server/store/x.cc", ['#include "server/pool/pool.h"']))
    assert list(check_includes("client/src/x.cc", ['#include "server/store/store.h"']))
    assert not list(check_includes("server/pool/x.cc", ['#include "server/store/store.h"']))
    assert list(check_includes("server/pool/x.cc", ["#include <grpcpp/grpcpp.h>"]))
    assert list(check_pool_addresses("server/control/x.cc", ["auto m = media.mapping();"]))
    assert list(check_coroutines("x.cc", ["co_await f([self] { return 1; });"]))
    body = ["void f() {"] + ["  g();"] * 41 + ["}"]
    assert list(check_sizes("server/store/x.cc", body, set()))
    assert not list(check_sizes("server/store/x.cc", body[:-2] + ["}"], set()))
    wrapped = ["class X {", " X(int a,", "   int b) : a_{a}, b_(b) {"] + ["  g();"] * 41 + ["}", "};"]
    assert list(check_sizes("server/store/x.cc", wrapped, set()))
    assert not list(check_sizes("server/store/x.cc", ["class X {"] + ["  int f();"] * 99 + ["};"], set()))


def main():
    self_test()
    root = pathlib.Path(sys.argv[1])
    allow_file = root / "tests/tidy/allow.txt"
    allow = {line.split("#")[0].strip() for line in allow_file.read_text().splitlines()} - {""}
    passed, failed, used = 0, 0, set()
    for path in files(root):
        name = str(path.relative_to(root))
        lines = path.read_text().splitlines()
        findings = [*check_includes(name, lines), *check_pool_addresses(name, lines),
                    *check_sizes(name, lines, allow), *check_coroutines(name, lines)]
        strict = list(check_sizes(name, lines, set()))
        used |= {name for _, text in strict if text.startswith("file")}
        used |= {f"{name}:functions" for _, text in strict if text.startswith("function")}
        for number, text in findings:
            print(f"{name}:{number}: {text}")
        failed += bool(findings)
        passed += not findings
    for name, number, text in check_readmes(root):
        print(f"{name}:{number}: {text}")
        failed += 1
    for name in sorted(allow - used):  # the list only shrinks
        print(f"tests/tidy/allow.txt: '{name}' needs no allowance any more: remove it")
        failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
