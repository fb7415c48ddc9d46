# shellcheck shell=sh
# Sourced: which program builds images or runs containers here; one sentence when there is none.

# find_engine PURPOSE PROGRAM...: sets "engine" to the first that works. Docker's client alone does not.
find_engine() {
  purpose=$1
  shift
  for engine in "$@"; do
    command -v "$engine" >/dev/null 2>&1 && "$engine" info >/dev/null 2>&1 && return
  done
  case $# in
  1) what="\"$1 info\" fails" ;;
  *) what="\"info\" fails with each of $*" ;;
  esac
  echo "Cannot $purpose: $what here; install Docker and start it, then try again." >&2
  exit 1
}
