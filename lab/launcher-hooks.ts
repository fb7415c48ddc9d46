// virt-launcher v1.9.0's side of hook sidecars (pkg/hooks/manager.go): which sidecars it calls, in which
// version, and how it uses their answers.
import type { HookVersion } from '../proto/load.ts'
import type { Vmi } from './domain-vmi.ts'
import type { Sidecar } from './launcher-sidecar.ts'

export interface Hooks {
  /** Calls every subscriber in turn, each with the answer of the one before. */
  onDefineDomain(domainXml: string, vmi: Vmi): Promise<string>
}

type Named = Pick<Sidecar, 'client' | 'containerName'>
type Callback = Pick<Sidecar, 'client'> & {
  readonly version: HookVersion
  readonly hookPoints: ReadonlySet<string>
}

/** virt-launcher's order of preference. */
const VERSIONS = ['v1alpha3', 'v1alpha2', 'v1alpha1'] as const

/** Asks every sidecar once for its hook points. Throws if virt-launcher would not start. */
export async function newHooks(sidecars: readonly Named[]): Promise<Hooks> {
  const callbacks = await Promise.all(sidecars.map(readCallback))
  const listSubscribers = (name: string): readonly Callback[] =>
    callbacks.filter(({ hookPoints }) => hookPoints.has(name))
  return {
    onDefineDomain: async (domainXml, vmi) => {
      let reached = domainXml
      for (const { client, version } of listSubscribers('OnDefineDomain'))
        reached = (await client.onDefineDomain(version, reached, vmi)).toString('utf8')
      return reached
    },
  }
}

async function readCallback({ client, containerName }: Named): Promise<Callback> {
  const { versions, hookPoints } = await client.info()
  const version = VERSIONS.find((candidate) => versions.includes(candidate))
  if (version === undefined)
    throw new Error(
      `${containerName} offers ${versions.join(', ')}, not one of ${VERSIONS.join(', ')}`,
    )
  return { client, version, hookPoints: new Set(hookPoints.map(({ name }) => name)) }
}
