#!/bin/sh
# Adds a feature gate to a KubeVirt, or takes it away, and leaves all others as they are: NetworkBindingPlugins
# for KubeVirt 1.4, which has the bindings behind it (1.5 and newer need no gate); Plugins for plugin/.
#
# A patch file cannot: the gates are a list. A merge patch would replace it, gates of the admin included; a
# JSON patch fails where there is none yet, and adds a second one where ours is there already.
#
# Usage: feature-gate.sh enable|disable GATE [NAMESPACE [NAME]]      KUBECTL may name another kubectl.
set -eu

usage() {
  echo "Usage: feature-gate.sh enable|disable GATE [NAMESPACE [NAME]]" >&2
  exit 2
}

[ $# -ge 2 ] && [ $# -le 4 ] || usage
command=$1
case $2 in '' | *[!A-Za-z0-9]*) usage ;; esac
gate="\"$2\""
namespace=${3:-kubevirt}
name=${4:-kubevirt}

on_kubevirt() {
  verb=$1
  shift
  # shellcheck disable=SC2086 # KUBECTL may carry options
  ${KUBECTL:-kubectl} "$verb" kubevirt "$name" --namespace "$namespace" "$@"
}

# kubectl prints a list as JSON, and nothing for one that is not there. Names of gates have no quotes,
# commas, blanks or brackets in them.
read=$(on_kubevirt get -o jsonpath='{.metadata.resourceVersion} {.spec.configuration.developerConfiguration.featureGates} {.spec.configuration.developerConfiguration.disabledFeatureGates}')
version=${read%% *}
read=${read#* }
list=${read%% *}
off=${read#* }
list=${list#[}
list=${list%]}
off=${off#[}
off=${off%]}

# without LIST: the list without our gate.
without() {
  printf '%s' "$1" | tr ',' '\n' | grep -vxF "$gate" | paste -sd, -
}

lists="\"featureGates\":[$list]"
case $command,,$list, in
enable,*",$gate,"*)
  echo "The feature gate $2 is there already."
  exit 0
  ;;
enable,*)
  lists="\"featureGates\":[${list:+$list,}$gate]"
  # KubeVirt refuses a gate that is in both lists.
  case ,$off, in *",$gate,"*)
    echo "The feature gate $2 was among the disabledFeatureGates, and is taken from there."
    lists="$lists,\"disabledFeatureGates\":[$(without "$off")]"
    ;;
  esac
  ;;
disable,*",$gate,"*) lists="\"featureGates\":[$(without "$list")]" ;;
disable,*)
  echo "The feature gate $2 is not there."
  exit 0
  ;;
*) usage ;;
esac

# With the version that was read: whoever changed the object meanwhile makes this fail instead of being undone.
on_kubevirt patch --type merge --patch \
  "{\"metadata\":{\"resourceVersion\":\"$version\"},\"spec\":{\"configuration\":{\"developerConfiguration\":{$lists}}}}"
