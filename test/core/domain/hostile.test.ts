// Input that nobody should send. Whatever it is, a hook is given a well-formed document back or a typed error.
import { expect } from 'chai'
import fc from 'fast-check'
import { describe, it } from 'mocha'

import { parseTree } from '../../../core/domain/tree.ts'
import { parseVmi } from '../../../core/domain/vmi.ts'
import { DecodeError, LinkMissingError, LinkUnfitError } from '../../../core/errors.ts'
import type { Sample } from './corpus.ts'
import { listOurAliases, listSamples, readSample, rewriteInTurn } from './corpus.ts'
import { build, scene } from './scenes.ts'

const SAMPLES = listSamples().map(readSample)
const sample = fc.constantFrom(...SAMPLES)

/** The document that the sidecars answer; undefined when they refuse. Throws for anything else. */
function answer(given: Sample): string | undefined {
  try {
    const xml = rewriteInTurn(given)
    parseTree(xml)
    return xml
  } catch (error) {
    const isTyped = [DecodeError, LinkMissingError, LinkUnfitError].some(
      (kind) => error instanceof kind,
    )
    if (isTyped) return undefined
    throw error
  }
}

const SHARDS = (
  '< > & " \' / = </devices> <devices> <devices/> </domain> <interface> <interface/> </interface> ' +
  '<alias\tname="ua-ge0"/> <!-- --> <![CDATA[ ]]> <? ?> <!DOCTYPE\tdomain> &#0; &#xD800; &nbsp; &lt; xmlns:q=" ' +
  'type=" \0 \ud83d \ufffe \u00a0 \u2028'
).split(' ')
const shard = fc.oneof(
  fc.constantFrom('', ' ', '\n', '\u{1f50c}', '<!--x-->', '<?x?>', '&amp;'),
  fc.constantFrom(...SHARDS),
)
const edit = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  removed: fc.oneof(fc.constant(0), fc.nat({ max: 60 })),
  inserted: fc.oneof(shard, fc.string({ unit: 'binary', maxLength: 4 })),
})

function damage(text: string, edits: readonly { at: number; removed: number; inserted: string }[]) {
  let damaged = text
  for (const { at, removed, inserted } of edits) {
    const start = Math.floor(at * damaged.length)
    damaged = damaged.slice(0, start) + inserted + damaged.slice(start + removed)
  }
  return damaged
}

/** The value with the nth of the values inside it replaced. */
function replaceNth(value: unknown, nth: number, by: unknown): unknown {
  let count = -1
  return JSON.parse(JSON.stringify(value), (_, inner: unknown) => {
    count += 1
    return count === nth ? by : inner
  })
}

describe('rewriteDomain() on what nobody should send', () => {
  it('answers what is not damaged', () => {
    for (const each of SAMPLES) expect(answer(each), each.name).to.not.equal(undefined)
  })

  it('answers a damaged document with a well-formed one, or refuses it', () => {
    fc.assert(
      fc.property(sample, fc.array(edit, { minLength: 1, maxLength: 4 }), (given, edits) => {
        answer({ ...given, xml: damage(given.xml, edits) })
      }),
      { numRuns: 400 },
    )
  })

  it('answers any text with a well-formed document, or refuses it', () => {
    fc.assert(
      fc.property(sample, fc.string({ unit: 'binary' }), (given, xml) => {
        answer({ ...given, xml })
      }),
      { numRuns: 100 },
    )
  })

  it('answers a damaged VMI with a well-formed document, or refuses it', () => {
    fc.assert(
      fc.property(sample, fc.nat({ max: 150 }), fc.jsonValue(), (given, nth, by) => {
        answer({ ...given, vmi: replaceNth(given.vmi, nth, by) })
      }),
      { numRuns: 100 },
    )
  })

  it('answers or refuses any JSON for a VMI', () => {
    fc.assert(
      fc.property(sample, fc.json(), (given, json) => {
        answer({ ...given, vmi: parseVmi(json) })
      }),
      { numRuns: 100 },
    )
  })

  it('refuses a NIC of ours when its links are gone, and answers when none of ours is left', () => {
    fc.assert(
      fc.property(scene, (each) => {
        const given = { ...build(each), links: new Map<string, never>() }
        const isRefused = answer(given) === undefined
        expect(isRefused).to.equal(listOurAliases(given).length > 0)
      }),
      { numRuns: 100 },
    )
  })
})

describe('rewriteDomain() on what does not fit together', () => {
  const [first] = SAMPLES.filter(({ name }) => name === 'second-pass')
  if (first === undefined) throw new Error('No sample "second-pass"')
  const interfaces = first.xml.match(/\t\t<interface [^]*?<\/interface>\n/g) ?? []

  it('refuses two interfaces of one alias', () => {
    const xml = first.xml.replace(interfaces[0] ?? '', (found) => found + found)
    expect(() => rewriteInTurn({ ...first, xml })).to.throw(DecodeError, 'domain/devices/interface')
  })

  it('has no word on a network without interface', () => {
    const vmi = structuredClone(first.vmi) as { spec: { networks: object[] } }
    vmi.spec.networks.push({ name: 'spare', multus: { networkName: 'spare' } })
    expect(rewriteInTurn({ ...first, vmi })).to.equal(rewriteInTurn(first))
  })

  it("plugs in beside interfaces of the document that the VMI doesn't know", () => {
    const xml = first.xml.replaceAll('ua-mgmt', 'ua-stranger')
    expect(
      rewriteInTurn({ ...first, xml })
        .match(/<alias name="ua-\w+/g)
        ?.slice(0, 2),
    ).to.eql(['<alias name="ua-ge0', '<alias name="ua-stranger'])
  })
})
