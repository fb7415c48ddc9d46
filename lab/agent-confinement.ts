// The limits that deploy/ sets for the agent, for an agent that runs in no container.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { parseAllDocuments } from 'yaml'

import { ROOT } from './manifests.ts'

interface DaemonSet {
  readonly kind: string
  readonly spec: { readonly template: { readonly spec: { readonly containers: Container[] } } }
}

interface Container {
  readonly name: string
  readonly securityContext: { readonly capabilities: { readonly add: readonly string[] } }
}

/** argv before another argv: root with no capabilities but those of the manifest. */
export async function readConfinement(): Promise<readonly string[]> {
  const manifest = join(ROOT, 'deploy/base/agent.yaml')
  const daemon = parseAllDocuments(await readFile(manifest, 'utf8'))
    .map((document) => document.toJS() as DaemonSet)
    .find(({ kind }) => kind === 'DaemonSet')
  const agent = daemon?.spec.template.spec.containers.find(({ name }) => name === 'agent')
  if (agent === undefined) throw new Error(`"${manifest}" has no agent`)
  const added = agent.securityContext.capabilities.add
  const bounding = ['-all', ...added.map((name) => `+${name.toLowerCase()}`)].join(',')
  return ['setpriv', '--bounding-set', bounding, '--inh-caps', '-all']
}
