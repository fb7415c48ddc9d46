// The documents of test/fixtures/domain: what a hook is given (.in.xml, .vmi.json), what the pod holds (.links.json)
// and what the sidecars are to make of it (.out.xml).
import { readdirSync, readFileSync } from 'node:fs'

import { OUR_BINDINGS } from '../../../core/domain/bindings.ts'
import type { LinkFacts, PodLinks } from '../../../core/domain/nic.ts'
import { rewriteDomain } from '../../../core/domain/rewrite.ts'
import { decodeVmi } from '../../../core/domain/vmi.ts'
import { newLinks } from './samples.ts'

export interface Sample {
  readonly name: string
  readonly xml: string
  readonly vmi: unknown
  readonly links: PodLinks
}

const FOLDER = new URL('../../fixtures/domain/', import.meta.url)
const INPUT = '.in.xml'

export function listSamples(): readonly string[] {
  const inputs = readdirSync(FOLDER).filter((file) => file.endsWith(INPUT))
  return inputs.map((file) => file.slice(0, -INPUT.length)).toSorted()
}

export function toGoldenPath(name: string): string {
  return new URL(`${name}.out.xml`, FOLDER).pathname
}

export function readSample(name: string): Sample {
  const read = (ending: string): string => readFileSync(new URL(`${name}${ending}`, FOLDER), 'utf8')
  const facts = JSON.parse(read('.links.json')) as Record<string, LinkFacts>
  return {
    name,
    xml: read(INPUT),
    vmi: JSON.parse(read('.vmi.json')),
    links: newLinks(facts),
  }
}

/** What the sidecars of these bindings make of the document, one after the other. */
export function rewriteInTurn(sample: Sample, bindings: readonly string[] = OUR_BINDINGS): string {
  return bindings.reduce((xml, binding) => rewriteAtOnce({ ...sample, xml }, [binding]), sample.xml)
}

/** What one hook that serves all these bindings makes of it. */
export function rewriteAtOnce(sample: Sample, bindings: readonly string[] = OUR_BINDINGS): string {
  return rewriteDomain(sample.xml, decodeVmi(sample.vmi, ...bindings), sample.links).xml
}

/** Aliases of the interfaces that our bindings look after. */
export function listOurAliases({ vmi }: Sample): readonly string[] {
  return decodeVmi(vmi, ...OUR_BINDINGS).nics.map(({ name }) => `ua-${name}`)
}
