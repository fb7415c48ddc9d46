import { describe } from 'mocha'

import {
  across,
  alone,
  addAttachment,
  withWire,
  old,
  surveyedTap,
  tap,
  type Row,
  describeRows,
} from './changes.ts'
import { A, changeSurvey, newAttachment, newSurveyed } from './samples.ts'

const nodeRows: readonly Row[] = [
  {
    name: 'a document of an attachment that cannot be read hides what it is about',
    facts: changeSurvey(across, () => ({
      unreadable: ['Cannot decode "x.json"'],
      attachments: [],
    })),
    kinds: ['unreadable'],
    words: ['x.json', 'n1'],
  },
  {
    name: 'an agent that says that it cannot work',
    facts: changeSurvey(across, () => ({
      refusal: 'Cannot write "/x": the system said ENOSPC',
    })),
    kinds: ['agent-unable'],
    words: ['n1', 'ENOSPC', 'room'],
  },
  {
    name: 'a DEL that the store was never told of',
    facts: addAttachment(across, old, { isSandboxThere: false, ageSeconds: 61 }, 'leaving'),
    kinds: ['leaving-long'],
    words: ['goes on trying'],
  },
  {
    name: 'an ADD that never ended',
    facts: addAttachment(across, old, { ageSeconds: 601 }, 'adding'),
    kinds: ['adding-long'],
  },
  {
    name: 'a sandbox that is gone',
    facts: changeSurvey(alone, () => ({
      attachments: [newSurveyed(A, { isSandboxThere: false })],
    })),
    kinds: ['sandbox-gone'],
    words: ['pod/h1 eth1', 'lab/r1-h1', 'n1'],
  },
  {
    name: 'a kubelet whose folder is elsewhere',
    facts: changeSurvey(across, () => ({ hasKubelet: false })),
    kinds: ['no-kubelet'],
    words: ['n1', 'kubelet.sock', 'deploy/README.md'],
  },
  {
    name: 'a VM by macvtap beside an agent that is no device plugin any more',
    facts: changeSurvey(across, ({ attachments }) => ({
      attachments: [...attachments, { ...surveyedTap, attachment: { ...tap, index: 70_000_001 } }],
      hasKubelet: null,
    })),
    kinds: ['no-device-plugin'],
    words: ['n1', 'component "macvtap"'],
  },
  {
    name: 'an attachment that its wire does not name',
    facts: withWire(alone, { ends: [], isUnplugged: true }),
    kinds: ['not-claimed'],
    words: ['claims it'],
  },
  {
    name: 'an attachment that two others have shut out',
    facts: changeSurvey(across, ({ attachments }) => ({
      attachments: [
        ...attachments,
        { ...newSurveyed(old), attachment: newAttachment(old, { holder: 'pod/h3' }) },
      ],
    })),
    kinds: ['not-claimed'],
    words: ['pod/h3', 'both ends are taken, by pod/h1 eth1 and pod/h2 eth1'],
  },
  {
    name: 'a sandbox that stands by and that its node knows nothing of',
    facts: withWire(across, { standbys: [{ ...old, isTarget: true }] }),
    kinds: ['migration', 'claim-stray'],
    words: ['claim of pod/h1 eth1 on n1'],
  },
  {
    name: 'an end that its node knows nothing of',
    facts: changeSurvey(alone, () => ({ attachments: [] })),
    kinds: ['claim-stray'],
    words: ['pod/h1 eth1', 'n1'],
  },
  {
    name: 'a displaced sandbox that its node knows nothing of',
    facts: withWire(across, { displaced: [{ containerID: 'x', ifname: 'eth1', node: 'n1' }] }),
    kinds: ['displaced-stray'],
    words: ['x@eth1'],
  },
]

describe('findAll() of a node', () => {
  describeRows('finds in the state directory', nodeRows)
})
