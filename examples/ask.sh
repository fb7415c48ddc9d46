# What every check.sh begins with. By default it asks pods and VMs of kubectl's current namespace;
# L2WIRE_ON names another program that runs a command in a pod or VM: "$L2WIRE_ON NAME COMMAND...".
# L2WIRE_PATIENCE is how many seconds "eventually" waits, default 60.
set -eu

# on NAME COMMAND...: runs a command in the pod or VM of this name.
on() {
  if [ -n "${L2WIRE_ON:-}" ]; then
    "$L2WIRE_ON" "$@"
    return
  fi
  name=$1
  shift
  launcher=$(kubectl get pods --selector "vm.kubevirt.io/name=$name" \
    --field-selector status.phase=Running --output name)
  if [ -z "$launcher" ]; then
    kubectl exec "$name" -- "$@"
    return
  fi
  # KubeVirt's own way into a VM: the guest agent, as its exec probes use it. The command goes there as
  # JSON text, so it must have no double quotes and no backslashes. The probe looks ten times within its limit
  # whether the command has ended.
  namespace=$(kubectl get "$launcher" --output 'jsonpath={.metadata.namespace}')
  command=$1
  shift
  kubectl exec "$launcher" --container compute -- \
    virt-probe --domainName "${namespace}_$name" --timeoutSeconds 30 --command "$command" -- "$@"
}

# eventually COMMAND...: once a second, until the command succeeds or patience ends.
eventually() {
  deadline=$(($(date +%s) + ${L2WIRE_PATIENCE:-60}))
  until "$@"; do
    [ "$(date +%s)" -lt "$deadline" ] || return 1
    sleep 1
  done
}

# expect TEXT COMMAND...: says whether the command succeeded in the end, and stops if it did not.
expect() {
  text=$1
  shift
  if eventually "$@"; then
    echo "yes  $text"
  else
    echo "NO   $text"
    exit 1
  fi
}
