#!/bin/sh
# Makes .venv from uv.lock, or leaves it alone where it is whole. `make` calls it before each target.
set -eu
# uv starts Python in isolated mode, which in the C locale cannot read a path with an umlaut.
export LC_ALL=C.UTF-8
stamp=.venv/.ready

stop() { printf '%s\n' "$@" >&2; exit 1; }

# A virtual environment names the folder that it was made in, so a moved checkout needs a new one.
state() { printf '%s\n' "$PWD"; cksum <pyproject.toml; cksum <uv.lock; }
runs() { "$1" -c '' >/dev/null 2>&1; }
is_whole() { [ "$(cat $stamp 2>/dev/null)" = "$(state)" ] && runs .venv/bin/python; }

! is_whole || exit 0
mkdir -p .tools 2>/dev/null && [ -w . ] || stop "This folder cannot be written: $PWD" "Copy the checkout to a folder of your own."
if command -v flock >/dev/null; then # two at once: the second waits, and finds it done
  exec 9>.tools/setup.lock
  flock 9
  ! is_whole || exit 0
fi

# Of a home that cannot be written no cache is used.
cache=${UV_CACHE_DIR:-${HOME:+$HOME/.cache/uv}}
{ [ -n "$cache" ] && mkdir -p "$cache" && [ -w "$cache" ]; } 2>/dev/null || export UV_CACHE_DIR="$PWD/.tools/cache"

install_uv() {
  for python in python3 python3.14 python3.13 python3.12 python3.11 python ""; do
    ! runs "$python" || break
  done
  [ -n "$python" ] || stop "There is no Python on PATH." "Install Python 3.11 to 3.14, then run make again. $advice"
  scratch=.tools/uv.$$
  trap 'rm -rf "$scratch"' EXIT
  "$python" -m venv "$scratch" >.tools/setup.log 2>&1 || stop "$(tail -n 3 .tools/setup.log)" \
    "$python cannot make a virtual environment. On Debian and Ubuntu: sudo apt install python3-venv"
  # pip's own configuration may ask for --user, which no virtual environment has.
  PIP_USER=0 "$scratch/bin/python" -m pip install --quiet --disable-pip-version-check "uv>=0.9" >.tools/setup.log 2>&1 ||
    stop "$(tail -n 3 .tools/setup.log)" "uv could not be installed from PyPI. Behind a proxy or with a mirror, set HTTPS_PROXY or PIP_INDEX_URL."
  mkdir -p .tools/uv/bin
  mv -f "$scratch/bin/uv" .tools/uv/bin/uv
  rm -rf "$scratch"
}
advice="For example: sudo apt install python3 python3-venv, brew install python@3.13, or https://www.python.org/downloads"

uv=$(command -v uv) || {
  uv=.tools/uv/bin/uv
  "$uv" --version >/dev/null 2>&1 || install_uv
}
if [ "$(head -n 1 $stamp 2>/dev/null)" != "$PWD" ] || ! runs .venv/bin/python; then rm -rf .venv; fi
if ! "$uv" sync --frozen --quiet --compile-bytecode >.tools/setup.log 2>&1; then
  if "$uv" python find --no-project --no-python-downloads '>=3.11,<3.15' >/dev/null 2>&1; then
    stop "$(tail -n 15 .tools/setup.log)" "The packages of uv.lock could not be installed. Mend that, then run make again."
  fi
  stop "No Python from 3.11 to 3.14 was found, and uv could not fetch one: $(tail -n 1 .tools/setup.log)" \
    "Install one, then run make again. $advice"
fi
# Python 3.11 and 3.12 read this file by the locale, and end where the checkout's path does not fit it: a path relative to
# the file does always. Replaced and not written to, for it is linked to uv's cache.
for link in .venv/lib/python3.*/site-packages/_editable_impl_bqx_assets.pth; do
  printf '../../../..\n' >"$link.new"
  mv -f "$link.new" "$link"
done
state >$stamp
