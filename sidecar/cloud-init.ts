// PreCloudInitIso: the network data of the disk that KubeVirt is about to make, for a VM that wants it.
import { OUR_BINDINGS } from '../core/domain/bindings.ts'
import {
  getSource,
  hasNetworkData,
  parseCloudInit,
  withNetworkData,
  withOldNetworkData,
} from '../core/domain/cloud-init.ts'
import type { CloudInitSource } from '../core/domain/cloud-init.ts'
import { renderOpenStack, renderVersion2 } from '../core/domain/network-data-text.ts'
import { decodeGuestNics, hasNetworkDataAnnotation } from '../core/domain/network-data-vmi.ts'
import { toGuestNetwork } from '../core/domain/network-data.ts'
import type { PodNetwork } from '../core/domain/network-data-proc.ts'
import { toLinkNames } from '../core/domain/nic.ts'
import { parseVmi } from '../core/domain/vmi.ts'
import type { PreCloudInitIsoParams, PreCloudInitIsoResult } from '../proto/load.ts'
import type { PlugOptions } from './plug-in.ts'
import { decodeUtf8 } from './utf8.ts'

export interface CloudInitOptions extends PlugOptions {
  readonly binding: string
  readonly readPodNetwork: () => PodNetwork
}

/** A user's own network data is never replaced; what is not network data comes back as it came. */
export function preCloudInitIso(
  options: CloudInitOptions,
  { vmi: vmiJson, cloudInitData, cloudInitNoCloudSource }: PreCloudInitIsoParams,
): PreCloudInitIsoResult {
  const unchanged = { cloudInitData, cloudInitNoCloudSource }
  const data = parse('cloudInitData', cloudInitData)
  const oldData = parse('cloudInitNoCloudSource', cloudInitNoCloudSource)
  if (data === undefined && oldData === undefined) return unchanged
  const source = getSource(data)
  if (source === undefined || hasNetworkData(data, oldData)) return unchanged
  const vmi = parseVmi(decodeUtf8('vmi', vmiJson))
  if (!hasNetworkDataAnnotation(vmi)) return unchanged
  const text = renderNetworkData(options, vmi, source)
  if (text === undefined) return unchanged
  return {
    cloudInitData: data === undefined ? cloudInitData : Buffer.from(withNetworkData(data, text)),
    cloudInitNoCloudSource:
      oldData === undefined
        ? cloudInitNoCloudSource
        : Buffer.from(withOldNetworkData(oldData, text)),
  }
}

/** Undefined where no NIC of ours has an address to tell. */
function renderNetworkData(
  { binding, log, readPodLinks, readPodNetwork }: CloudInitOptions,
  value: unknown,
  source: CloudInitSource,
): string | undefined {
  // KubeVirt asks one sidecar for the whole VM.
  const vmi = decodeGuestNics(value, [...OUR_BINDINGS, binding])
  const names = vmi.flatMap((one) => (one.kind === 'own' ? toLinkNames(one.nic) : []))
  const links = readPodLinks(names)
  const { nics, unmatched, unrouted } = toGuestNetwork(vmi, links, readPodNetwork())
  if (unmatched.length > 0)
    log.warn({ nics: unmatched }, 'not in the network data: the VMI has no MAC to find it by')
  if (unrouted.length > 0)
    log.warn(
      { nics: unrouted },
      "not in the network data: a default route without a next hop, on which some of cloud-init's renderers fail",
    )
  if (nics.every(({ isDhcp4 }) => isDhcp4)) {
    log.warn('no network data: no pod link that a NIC takes over has an address')
    return undefined
  }
  for (const { name, mac, addresses } of nics) log.info({ name, mac, addresses }, 'network data')
  return source === 'noCloud' ? renderVersion2(nics) : renderOpenStack(nics)
}

function parse(path: string, bytes: Buffer): ReturnType<typeof parseCloudInit> {
  return parseCloudInit(path, decodeUtf8(path, bytes))
}
