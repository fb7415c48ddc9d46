import { expect } from 'chai'
import { describe, it } from 'mocha'

import type { WireAttachment } from '../../../core/attach/attachment.ts'
import type { EndClaim, StandbyClaim, Wire } from '../../../core/wire/wire.ts'
import { toWirePart, type WirePart } from '../../../core/wire/part.ts'
import { newWire, newWireAttachment } from '../samples.ts'

function newAttachment(
  containerID: string,
  holder: string,
  phase: WireAttachment['phase'] = 'ready',
): WireAttachment {
  return newWireAttachment(containerID, { holder, phase })
}

function newClaim(containerID: string, holder: string, node = 'n1'): EndClaim {
  return {
    holder,
    containerID,
    ifname: 'eth1',
    node,
    address: '192.0.2.1',
    mtuBytes: 1500,
    pod: undefined,
    isUp: true,
  }
}

function newStandby(containerID: string, holder: string, node = 'n1'): StandbyClaim {
  return { ...newClaim(containerID, holder, node), isTarget: false }
}

/** By containerID. */
function render(part: WirePart): Readonly<Record<string, string>> {
  const lists = Object.entries(part) as [string, readonly { readonly containerID: string }[]][]
  return Object.fromEntries(
    lists.flatMap(([name, list]) =>
      list.length === 0 ? [] : [[name, list.map(({ containerID }) => containerID).join(' ')]],
    ),
  )
}

const C1 = newAttachment('c1', 'pod/a')
const C2 = newAttachment('c2', 'pod/b')

describe('toWirePart()', () => {
  const rows: readonly {
    name: string
    wire: Wire | undefined
    attachments: readonly WireAttachment[]
    want: Readonly<Record<string, string>>
  }[] = [
    {
      name: 'ends that are held, and a far one',
      wire: newWire([newClaim('c1', 'pod/a'), newClaim('c9', 'pod/z', 'n2')]),
      attachments: [C1],
      want: { ends: 'c1' },
    },
    {
      name: 'an end that a newer sandbox has, here',
      wire: newWire([newClaim('c3', 'pod/a')]),
      attachments: [C1, newAttachment('c3', 'pod/a', 'adding')],
      want: { ends: 'c3', lost: 'c1' },
    },
    {
      name: 'an end that moved to another node, and was unplugged there since',
      wire: newWire([], { displaced: [{ containerID: 'c1', ifname: 'eth1', node: 'n1' }] }),
      attachments: [C1],
      want: { lost: 'c1' },
    },
    {
      name: 'an end that was lost once, though it is free now',
      wire: undefined,
      attachments: [newAttachment('c1', 'pod/a', 'released')],
      want: { lost: 'c1' },
    },
    {
      name: 'an end that was lost, and put back by whoever failed to take it',
      wire: newWire([newClaim('c1', 'pod/a')]),
      attachments: [newAttachment('c1', 'pod/a', 'released')],
      want: { ends: 'c1' },
    },
    {
      name: 'an end that a newer sandbox took, and another one has left',
      wire: newWire([], { standbys: [newStandby('c1', 'pod/a')] }),
      attachments: [newAttachment('c1', 'pod/a', 'released')],
      want: { unclaimed: 'c1' },
    },
    {
      name: 'of two older ones the newer, wherever it is',
      wire: newWire([], { standbys: [newStandby('c1', 'pod/a'), newStandby('c3', 'pod/a', 'n2')] }),
      attachments: [newAttachment('c1', 'pod/a', 'released')],
      want: { lost: 'c1' },
    },
    {
      name: "a migration's target, beside the source on another node",
      wire: newWire([newClaim('c8', 'vm/r', 'n2')], {
        standbys: [{ ...newStandby('c1', 'vm/r'), isTarget: true }],
      }),
      attachments: [newAttachment('c1', 'vm/r')],
      want: { targets: 'c1' },
    },
    {
      name: "a migration's target whose claim somebody removed, and which takes nothing all the same",
      wire: newWire([newClaim('c8', 'vm/r', 'n2')]),
      attachments: [{ ...newAttachment('c1', 'vm/r'), isTarget: true }],
      want: { unclaimed: 'c1' },
    },
    {
      name: 'an end whose place is kept for a target of another',
      wire: newWire([newClaim('c9', 'pod/z', 'n2')], {
        standbys: [{ ...newStandby('c8', 'vm/r', 'n2'), isTarget: true }],
      }),
      attachments: [C1],
      want: { shutOut: 'c1' },
    },
    {
      name: 'a standby for this node that nobody here knows of',
      wire: newWire([newClaim('c8', 'vm/r', 'n2')], { standbys: [newStandby('c5', 'vm/r')] }),
      attachments: [],
      want: { orphans: 'c5' },
    },
    {
      name: 'ends of a document that was emptied by hand',
      wire: undefined,
      attachments: [C1, C2],
      want: { unclaimed: 'c1 c2' },
    },
    {
      name: 'an end that finds both places taken by others',
      wire: newWire([newClaim('c8', 'pod/y', 'n2'), newClaim('c9', 'pod/z', 'n2')]),
      attachments: [C1],
      want: { shutOut: 'c1' },
    },
    {
      name: 'of two that want the one free place, one',
      wire: newWire([newClaim('c9', 'pod/z', 'n2')]),
      attachments: [C1, C2],
      want: { unclaimed: 'c1', shutOut: 'c2' },
    },
    {
      name: 'an end that was taken, or moved away, while its ADD was under way',
      wire: newWire([newClaim('c3', 'pod/a')], {
        displaced: [{ containerID: 'c2', ifname: 'eth1', node: 'n1' }],
      }),
      attachments: [
        newAttachment('c1', 'pod/a', 'adding'),
        newAttachment('c2', 'pod/b', 'adding'),
        newAttachment('c3', 'pod/a'),
      ],
      want: { ends: 'c3', lost: 'c1 c2' },
    },
    {
      name: 'an ADD under way and a DEL that is done, which are their own',
      wire: undefined,
      attachments: [
        newAttachment('c1', 'pod/a', 'adding'),
        newAttachment('c2', 'pod/b', 'leaving'),
      ],
      want: {},
    },
    {
      name: 'a claim for this node that nobody here knows of',
      wire: newWire([newClaim('c1', 'pod/a'), newClaim('c5', 'pod/e')]),
      attachments: [C1],
      want: { ends: 'c1', orphans: 'c5' },
    },
  ]
  for (const { name, wire, attachments, want } of rows)
    it(`tells ${name}`, () => {
      expect(render(toWirePart(wire, attachments, 'n1'))).to.deep.equal(want)
    })
})
