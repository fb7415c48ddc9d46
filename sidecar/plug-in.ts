// Domain and VMI as KubeVirt sends them -> the domain with our NICs in it. A hook sidecar and a Plugin's domain
// hook answer alike.
import type { Logger } from 'pino'

import { toLinkNames } from '../core/domain/nic.ts'
import type { PodLinks } from '../core/domain/nic.ts'
import { rewriteDomain } from '../core/domain/rewrite.ts'
import { decodeVmi, parseVmi } from '../core/domain/vmi.ts'
import { decodeUtf8 } from './utf8.ts'

export interface PlugOptions {
  readonly log: Logger
  readonly readPodLinks: (names: Iterable<string>) => PodLinks
}

/** NICs with one of the bindings are ours. */
export function plugIn(
  { log, readPodLinks }: PlugOptions,
  bindings: readonly string[],
  domain: Buffer,
  vmiJson: Buffer,
): Buffer {
  const vmi = decodeVmi(parseVmi(decodeUtf8('vmi', vmiJson)), ...bindings)
  const domainXml = decodeUtf8('domain XML', domain)
  const links = readPodLinks(vmi.nics.flatMap(toLinkNames))
  const { xml, nics } = rewriteDomain(domainXml, vmi, links)
  for (const nic of nics) log.info(nic, 'plugged in')
  // Not only equal text, but the very bytes that came.
  return xml === domainXml ? domain : Buffer.from(xml)
}
