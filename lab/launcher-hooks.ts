// virt-launcher v1.9.0's side of hook sidecars (pkg/hooks/manager.go): whom it asks, in which version,
// and what it makes of the answers.
import type { HookVersion } from '../proto/load.ts'
import { isRecord } from '../core/record.ts'
import type { Vmi, VmiVolume } from './domain-vmi.ts'
import type { Sidecar } from './launcher-sidecar.ts'

export interface Hooks {
  /** Every subscriber in turn, each with the answer of the one before. */
  onDefineDomain(domainXml: string, vmi: Vmi): Promise<string>
  /** The VMI with its cloud-init data as the first subscriber left it; further ones are not asked. */
  preCloudInitIso(vmi: Vmi): Promise<Vmi>
}

type Named = Pick<Sidecar, 'client' | 'containerName'>
type Callback = Pick<Sidecar, 'client'> & {
  readonly version: HookVersion
  readonly hookPoints: ReadonlySet<string>
}

/** virt-launcher's order of preference. */
const VERSIONS = ['v1alpha3', 'v1alpha2', 'v1alpha1'] as const

/** Asks every sidecar once what it is there for. Throws where virt-launcher would not start. */
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
    preCloudInitIso: async (vmi) => {
      const subscribers = listSubscribers('PreCloudInitIso')
      const volume = vmi.spec.volumes?.find((each) => each.cloudInitNoCloud !== undefined)
      if (subscribers.length > 0 && volume === undefined) {
        // Every version from 1.4 to 1.9 reads the user data of the data that is not there.
        throw new Error(
          `virt-launcher ends with a nil pointer: VMI "${vmi.metadata.name}" has no cloud-init ` +
            'volume, and a sidecar subscribes to PreCloudInitIso',
        )
      }
      for (const { client, version } of subscribers) {
        if (version === 'v1alpha1' || volume === undefined) continue
        const data = toCloudInitData(vmi, volume)
        const answer = await client.preCloudInitIso(version, {
          cloudInitData: toBytes(data),
          cloudInitNoCloudSource: toBytes(volume.cloudInitNoCloud),
          vmi: toBytes(vmi),
        })
        const changed = readAnswer(answer.cloudInitData, answer.cloudInitNoCloudSource)
        return withCloudInit(vmi, { ...volume, cloudInitNoCloud: changed })
      }
      return vmi
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

/** cloudinit.CloudInitData, whose fields have no JSON names of their own. */
function toCloudInitData(vmi: Vmi, volume: VmiVolume): object {
  return {
    DataSource: 'noCloud',
    NoCloudMetaData: {
      'instance-id': vmi.metadata.uid,
      'local-hostname': vmi.metadata.name,
    },
    ConfigDriveMetaData: null,
    UserData: volume.cloudInitNoCloud?.userData ?? '',
    NetworkData: volume.cloudInitNoCloud?.networkData ?? '',
    DevicesData: null,
    VolumeName: volume.name,
  }
}

/** Without user data or metadata the older of the two forms counts. */
function readAnswer(data: Buffer, source: Buffer): NonNullable<VmiVolume['cloudInitNoCloud']> {
  const parsed: unknown = JSON.parse(data.toString('utf8'))
  const isValid =
    isRecord(parsed) && toText(parsed['UserData']) !== '' && isRecord(parsed['NoCloudMetaData'])
  if (isValid)
    return { userData: toText(parsed['UserData']), networkData: toText(parsed['NetworkData']) }
  const older: unknown = JSON.parse(source.toString('utf8'))
  if (!isRecord(older)) throw new Error(`Cannot read cloud-init data: ${data.toString('utf8')}`)
  return { userData: toText(older['userData']), networkData: toText(older['networkData']) }
}

function withCloudInit(vmi: Vmi, volume: VmiVolume): Vmi {
  const volumes = vmi.spec.volumes?.map((each) => (each.name === volume.name ? volume : each)) ?? []
  return { ...vmi, spec: { ...vmi.spec, volumes } }
}

function toText(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function toBytes(value: object | undefined): Buffer {
  return Buffer.from(JSON.stringify(value ?? {}))
}
