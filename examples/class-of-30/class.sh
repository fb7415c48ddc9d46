#!/bin/sh
# A lab for each of a class: namespaces student-01 to student-30 with lab.yaml in each.
# Usage: class.sh apply|delete [COUNT]
set -eu
cd "$(dirname "$0")"
for number in $(seq "${2:-30}"); do
  namespace=student-$(printf %02d "$number")
  case ${1:-} in
    apply)
      kubectl create namespace "$namespace" --dry-run=client --output yaml | kubectl apply --filename -
      kubectl apply --namespace "$namespace" --filename lab.yaml
      ;;
    delete) kubectl delete namespace "$namespace" --wait=false --ignore-not-found ;;
    *)
      echo "Usage: $0 apply|delete [COUNT]" >&2
      exit 2
      ;;
  esac
done
