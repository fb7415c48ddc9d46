#!/bin/sh
# From nothing to a VM and a container that see each other by LLDP over a cable: a kind cluster with two
# workers, Multus, KubeVirt, l2wire from this checkout, and examples/lldp. Each step may find its work done.
set -eu
cd "$(dirname "$0")/../.."
. test/e2e/tools.sh
need_docker 'make a cluster'
ensure_tools

if kind get clusters 2>/dev/null | grep -qx "$cluster"; then
  say "The kind cluster $cluster is there already"
  kind export kubeconfig --name "$cluster"
else
  say "Creating the kind cluster $cluster"
  kind create cluster --config test/e2e/kind.yaml --image "$NODE_IMAGE" --wait 3m
fi

say "Multus $MULTUS"
# Its manifest names a moving tag; and 50 Mi is too little for three interfaces at a time.
kubectl apply -f "https://raw.githubusercontent.com/k8snetworkplumbingwg/multus-cni/$MULTUS/deployments/multus-daemonset-thick.yml"
multus=ghcr.io/k8snetworkplumbingwg/multus-cni:$MULTUS-thick
kubectl -n kube-system set image daemonset/kube-multus-ds "kube-multus=$multus" "install-multus-binary=$multus"
kubectl -n kube-system set resources daemonset/kube-multus-ds -c kube-multus --limits=memory=256Mi
kubectl -n kube-system rollout status daemonset/kube-multus-ds --timeout=5m

say "KubeVirt $KUBEVIRT"
release=https://github.com/kubevirt/kubevirt/releases/download/$KUBEVIRT
kubectl apply -f "$release/kubevirt-operator.yaml"
kubectl apply -f "$release/kubevirt-cr.yaml"
if ! docker exec "$cluster-worker" test -c /dev/kvm; then
  echo 'The nodes have no /dev/kvm: VMs are emulated.'
  kubectl -n kubevirt patch kubevirt kubevirt --type merge \
    --patch '{"spec":{"configuration":{"developerConfiguration":{"useEmulation":true}}}}'
fi
kubectl -n kubevirt wait kubevirt kubevirt --for condition=Available --timeout=15m

say 'l2wire, from this checkout'
setup/images.sh docker
version=$(sed -n 's/^ *newTag: *//p' deploy/base/kustomization.yaml)
kind load docker-image --name "$cluster" "ghcr.io/l2wire/agent:$version" "ghcr.io/l2wire/sidecar:$version"
kubectl apply -k deploy/overlays/kind
kubectl -n l2wire rollout status daemonset/l2wire-agent --timeout=3m
kubectl -n kubevirt patch kubevirt kubevirt --type merge --patch-file kubevirt-patches/register-binding.yaml

say 'A VM and a container on a cable'
kubectl create namespace vm-and-container --dry-run=client -o yaml | kubectl apply -f -
kubectl -n vm-and-container apply -f examples/vm-and-container
kubectl -n vm-and-container wait pod --all --for condition=Ready --timeout=10m
kubectl -n vm-and-container wait wire --all --for condition=Connected --timeout=2m

say 'The same with lldpd at both ends'
kubectl create namespace lldp --dry-run=client -o yaml | kubectl apply -f -
kubectl config set-context --current --namespace lldp
kubectl apply -f examples/lldp
kubectl wait pod/h1 --for condition=Ready --timeout=5m
kubectl wait virtualmachine/r1 --for condition=Ready --timeout=10m
# An emulated VM boots, and installs lldpd, in minutes.
L2WIRE_PATIENCE=900 examples/lldp/check.sh
kubectl get wires -A
echo "
Yours to try: export KUBECONFIG=$KUBECONFIG"
