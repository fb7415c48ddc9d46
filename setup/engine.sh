# shellcheck shell=sh
# Sourced: finds the program that builds images or runs containers here, or prints one sentence if there is
# none.

engine_works() {
  command -v "$1" >/dev/null 2>&1 && "$1" info >/dev/null 2>&1
}

# find_engine PURPOSE PROGRAM...: sets "engine" to the first that works. Docker's client alone does not work.
find_engine() {
  purpose=$1
  shift
  for engine in "$@"; do
    engine_works "$engine" && return
  done
  case $# in
  1) what="\"$1 info\" fails" ;;
  *) what="\"info\" fails with each of $*" ;;
  esac
  echo "Cannot $purpose: $what here; install Docker and start it, then try again." >&2
  exit 1
}
