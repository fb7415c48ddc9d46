// The manifest that a user applies first to get KubeVirt: the kubevirt-operator.yaml of a release. KubeVirt's
// module has it as a template, and the program that renders it.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { run } from '../../kernel/run.ts'
import { newTemporaryFolder } from '../temporary-folder.ts'
import type { KubevirtBuild } from './programs.ts'

/** The namespace of the operator and all that it deploys. */
export const KUBEVIRT_NAMESPACE = 'kubevirt'

/** The start of the images' names, such as "quay.io/kubevirt/virt-launcher:v1.7.0". */
export const KUBEVIRT_REGISTRY = 'quay.io/kubevirt'

/** Namespace, CustomResourceDefinition, RBAC, priority class and Deployment of the operator, as YAML documents. */
export async function renderOperatorManifest(build: KubevirtBuild): Promise<string> {
  const { version, folder, source } = build
  const templator = join(folder, 'manifest-templator')
  // The output of the first pass is itself a template.
  const whole = await run([
    templator,
    '--process-files',
    `--generated-manifests-dir=${join(source, 'manifests/generated')}`,
    `--input-file=${join(source, 'manifests/release/kubevirt-operator.yaml.in')}`,
  ])
  // The program opens its input by name, which does not work for a socket as standard input.
  await using temporary = await newTemporaryFolder('operator-manifest')
  const input = join(temporary.path, 'kubevirt-operator.yaml.in')
  await writeFile(input, whole)
  return await run([
    templator,
    '--process-vars',
    `--namespace=${KUBEVIRT_NAMESPACE}`,
    `--container-prefix=${KUBEVIRT_REGISTRY}`,
    `--container-tag=v${version}`,
    '--image-pull-policy=IfNotPresent',
    // It must exist, though this template shows no logo.
    `--kubevirt-logo-path=${join(source, 'assets/kubevirt_logo.png')}`,
    `--input-file=${input}`,
  ])
}
