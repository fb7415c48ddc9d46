import { expect } from 'chai'
import { describe, it } from 'mocha'

import { diff } from '../../../core/steps/diff.ts'
import type { Step } from '../../../core/steps/step.ts'
import { listDifferences, renderDifferences } from '../../../core/steps/words.ts'
import { newObservation, type SampleLink } from '../samples.ts'

const AT = { netns: undefined, dev: 'lw1' }
const SET: Step = { op: 'set-link', ...AT, mtuBytes: 9216, isSilent: true, alias: 'mine', up: true }
const LINK: SampleLink = { name: 'lw1', alias: 'mine', targets: ['lw2'] }
const VXLAN = { vni: 7, local: '192.0.2.1', remote: '192.0.2.2', port: 14_789 }
const TUNNEL: Step = { op: 'add-vxlan', ...AT, ...VXLAN }

it('renderDifferences() says each thing once', () => {
  const seen = newObservation([LINK])
  const queue: Step = { op: 'del-queue', ...AT }
  const offload: Step = { op: 'stop-offload', ...AT }
  expect(renderDifferences(listDifferences([queue, offload, queue], seen))).to.equal(
    '"lw1" has a queueing discipline, expected none; frames leave "lw1" unfinished: it has offloads on, expected them off',
  )
  expect(renderDifferences(listDifferences([], seen))).to.equal(undefined)
})

describe('listDifferences()', () => {
  const rows: readonly (readonly [string, Step, SampleLink | undefined, string])[] = [
    ['no device', SET, undefined, '"lw1" is gone, expected it there'],
    ['a device that is down', SET, { ...LINK, isUp: false }, '"lw1" is down, expected it up'],
    ['one that is up', { op: 'set-link', ...AT, up: false }, LINK, '"lw1" is up, expected it down'],
    ['an MTU', SET, { ...LINK, mtuBytes: 1400 }, '"lw1" has MTU 1400, expected 9216'],
    [
      'ARP',
      SET,
      { ...LINK, flags: new Set(['UP']) },
      '"lw1" may speak by itself, expected ARP, multicast and IPv6 off',
    ],
    ['an alias', SET, { ...LINK, alias: '' }, '"lw1" has the alias "", expected "mine"'],
    [
      'a redirect',
      { op: 'add-redirect', ...AT, target: 'lw3' },
      LINK,
      '"lw1" leads to "lw2" on ingress, expected "lw3"',
    ],
    [
      'a redirect of an end alone',
      { op: 'del-redirect', ...AT },
      LINK,
      '"lw1" leads to "lw2" on ingress, expected nowhere',
    ],
    [
      "a tunnel's far end",
      TUNNEL,
      { ...LINK, vxlan: { ...VXLAN, remote: '127.0.0.9' } },
      '"lw1" leads to 127.0.0.9, expected 192.0.2.2',
    ],
    [
      'a tunnel',
      { op: 'del-link', ...AT },
      { ...LINK, vxlan: null },
      '"lw1" is there, expected it gone',
    ],
    [
      'a permission',
      { op: 'allow-peer', netns: undefined, address: '192.0.2.2', vni: 7 },
      LINK,
      'what 192.0.2.2 sends with VNI 7 is dropped, expected it let in',
    ],
    [
      'a mute link',
      { op: 'let-through', ...AT, source: 'tap0' },
      undefined,
      '"lw1" is gone, expected it there',
    ],
    [
      'a queue',
      { op: 'del-queue', ...AT },
      { ...LINK, qdisc: 'fq_codel' },
      '"lw1" has a queueing discipline, expected none',
    ],
  ]
  for (const [name, step, link, words] of rows)
    it(`says what is other than it should be: ${name}`, () => {
      const seen = newObservation(link === undefined ? [] : [link])
      const [first] = listDifferences(diff([step], seen, 'bpf').slice(0, 1), seen)
      expect(first?.words).to.equal(words)
    })

  it('passes over a device that is down on the way alone', () => {
    const seen = newObservation([{ ...LINK, mtuBytes: 1000 }])
    const steps: readonly Step[] = [
      { op: 'set-link', ...AT, up: false },
      { op: 'set-link', ...AT, mtuBytes: 9216, isSilent: true },
      { op: 'set-link', ...AT, up: true },
    ]
    expect(listDifferences(steps, seen).map(({ words }) => words)).to.deep.equal([
      '"lw1" has MTU 1000, expected 9216',
    ])
  })

  const peer = { netns: undefined, address: '2001:db8::9', vni: 9 }
  const kinds: readonly (readonly [Step, string, string | undefined])[] = [
    [{ op: 'set-link', ...AT, up: true }, 'device-down', 'ip link set dev lw1 up'],
    [{ op: 'set-link', ...AT, up: false }, 'device-up', 'ip link set dev lw1 down'],
    [{ op: 'set-link', ...AT, mtuBytes: 9216 }, 'device-changed', undefined],
    [{ op: 'set-link', netns: '/run/netns/a', dev: 'lw1', up: true }, 'device-down', undefined],
    [{ op: 'set-link', ...AT, dev: 'lw9', up: true }, 'device-gone', undefined],
    [{ op: 'del-link', ...AT }, 'device-stray', 'ip link del dev lw1'],
    [{ op: 'add-redirect', ...AT, target: 'lw3' }, 'redirect', undefined],
    [TUNNEL, 'tunnel-astray', undefined],
    [{ op: 'drop-egress', ...AT }, 'not-mute', undefined],
    [{ op: 'allow-peer', ...peer }, 'not-let-in', undefined],
    [
      { op: 'forbid-peer', ...peer },
      'peer-stray',
      "nft delete element inet l2wire peers6 '{ 2001:db8::9 . 9 }'",
    ],
  ]
  for (const [step, kind, command] of kinds)
    it(`calls ${JSON.stringify(step)} ${kind}`, () => {
      const isUp = step.op !== 'set-link' || step.up !== true
      const [first] = listDifferences([step], newObservation([{ ...LINK, isUp }]))
      expect([first?.kind, first?.command]).to.deep.equal([kind, command])
    })
})
