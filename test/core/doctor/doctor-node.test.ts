import { describe } from 'mocha'

import { toTunnelDeviceName } from '../../../core/name.ts'
import { toHost, TUNNEL } from '../view/samples.ts'
import {
  across,
  local,
  alone,
  unplugged,
  farDown,
  changeLinks,
  changeFirst,
  changeTunnel,
  addLink,
  addAttachment,
  withWire,
  vxlan,
  old,
  oldEnd,
  surveyedTap,
  tap,
  type Row,
  describeRows,
} from './changes.ts'
import {
  A,
  B,
  changeSurvey,
  NEAR,
  newAttachment,
  newDoctorFacts,
  newHostEnd,
  newSurveyed,
  newTunnel,
} from './samples.ts'

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
    name: 'a DEL that the store was never told of',
    facts: addAttachment(across, old, { isSandboxThere: false, ageSeconds: 61 }, 'leaving'),
    kinds: ['leaving-long'],
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
      links: [],
    })),
    kinds: ['sandbox-gone'],
    words: ['pod/h1 eth1', 'lab/r1-h1', 'n1'],
  },
  {
    name: 'a tap that is gone',
    facts: changeSurvey(across, ({ attachments }) => ({
      attachments: [...attachments, { ...surveyedTap, hasTap: false }],
    })),
    kinds: ['tap-gone'],
    words: ['tap0', 'c1'],
  },
  {
    name: 'a macvtap whose device is gone',
    facts: changeSurvey(across, ({ attachments }) => ({
      attachments: [
        ...attachments,
        {
          ...surveyedTap,
          attachment: {
            ...tap,
            attach: 'macvtap',
            index: 70_000_001,
            devicePath: '/run/tap70000001',
          },
          hasDevice: false,
        },
      ],
    })),
    kinds: ['device-gone'],
    words: ['/run/tap70000001', 'tap0', 'c1', 'start its virtual machine again'],
  },
  {
    name: 'a pod link that others speak on, too',
    facts: changeSurvey(across, ({ attachments }) => ({
      attachments: [...attachments, { ...surveyedTap, muteFault: '"eth0" is not mute' }],
    })),
    kinds: ['not-mute'],
    words: ['"eth0" is not mute', 'tap0', 'c1'],
  },
  {
    name: 'a kubelet whose folder is elsewhere',
    facts: changeSurvey(across, () => ({ hasKubelet: false })),
    kinds: ['no-kubelet'],
    words: ['n1', 'kubelet.sock', 'deploy/README.md'],
  },
  {
    name: 'a host end that is gone',
    facts: changeLinks(alone, () => []),
    kinds: ['host-end-gone'],
    words: [toHost(A), 'start pod/h1 again'],
  },
  {
    name: 'an attachment that its wire does not name',
    facts: withWire(alone, { ends: [], isUnplugged: true }),
    kinds: ['not-claimed'],
    words: ['claims it'],
  },
  {
    name: 'an attachment that two others have shut out',
    facts: addLink(
      changeSurvey(across, ({ attachments }) => ({
        attachments: [
          ...attachments,
          { ...newSurveyed(old), attachment: newAttachment(old, { holder: 'pod/h3' }) },
        ],
      })),
      oldEnd,
    ),
    kinds: ['not-claimed'],
    words: ['pod/h3', 'both ends are taken, by pod/h1 eth1 and pod/h2 eth1'],
  },
  {
    name: 'an end that its node knows nothing of',
    facts: changeSurvey(alone, () => ({ attachments: [], links: [] })),
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

const kernelRows: readonly Row[] = [
  {
    name: 'a host end of nobody',
    facts: addLink(across, oldEnd),
    kinds: ['host-end-stray'],
    words: [`ip link del dev ${oldEnd.name}`, 'n1'],
  },
  {
    name: 'a host end that is down',
    facts: changeFirst(local, { isUp: false }),
    kinds: ['device-down'],
    words: [`ip link set dev ${toHost(A)} up`],
  },
  {
    name: 'a host end that is up alone',
    facts: changeFirst(alone, { isUp: true }),
    kinds: ['device-up'],
    words: ['nobody is at the other end'],
  },
  {
    name: 'a host end that is up though the cable is out',
    facts: changeFirst(newDoctorFacts(unplugged), { isUp: true }),
    kinds: ['device-up'],
    words: ['the cable is taken out'],
  },
  {
    name: 'a host end that is up though the far end is down',
    facts: newDoctorFacts(farDown),
    kinds: ['device-up'],
    words: ['the far end is down'],
  },
  {
    name: 'an older sandbox that still leads somewhere',
    facts: addLink(addAttachment(across, old, {}, 'released'), newHostEnd(old, [TUNNEL])),
    kinds: ['device-up', 'redirect'],
    words: [`leads to ${TUNNEL} on n1, expected nowhere`],
  },
  {
    name: 'a redirect to the wrong device',
    facts: changeFirst(local, { redirects: ['eth0'] }),
    kinds: ['redirect'],
    words: [`to eth0 on n1, expected ${toHost(NEAR)}`],
  },
  {
    name: 'a redirect to a device that is gone',
    facts: changeFirst(local, { redirects: ['*'] }),
    kinds: ['redirect'],
    words: ['to a device that is gone'],
  },
  {
    name: 'no redirect',
    facts: changeFirst(local, { redirects: [] }),
    kinds: ['redirect'],
    words: ['leads nowhere'],
  },
  {
    name: 'a cable that is out and leads elsewhere',
    facts: changeFirst(newDoctorFacts(unplugged), { redirects: ['eth0'] }),
    kinds: ['redirect'],
  },
  {
    name: 'a tunnel of no wire',
    facts: changeSurvey(
      addLink(across, {
        ...newTunnel(A, B),
        name: toTunnelDeviceName('lab/x'),
        alias: 'l2wire lab/x vni 4096 port 14789 local 192.0.2.1 remote 192.0.2.2',
      }),
      () => ({}),
    ),
    kinds: ['tunnel-stray'],
    words: [`ip link del dev ${toTunnelDeviceName('lab/x')}`],
  },
  {
    name: 'a tunnel that its wire does not know of on this node',
    facts: withWire(across, { tunnelNodes: ['n2'] }),
    kinds: ['tunnel-stray'],
  },
  {
    name: 'a tunnel with another VNI',
    facts: changeSurvey(changeTunnel({ vxlan: { ...vxlan, vni: 5 } }), () => ({
      peers: ['192.0.2.2 5'],
    })),
    kinds: ['tunnel-astray'],
    words: ['VNI 5, expected', 'VNI 4096'],
  },
  {
    name: 'a tunnel to another node',
    facts: changeSurvey(changeTunnel({ vxlan: { ...vxlan, remote: '192.0.2.9' } }), () => ({
      peers: ['192.0.2.9 4096'],
    })),
    kinds: ['tunnel-astray'],
    words: ['192.0.2.9'],
  },
  { name: 'a tunnel that is down', facts: changeTunnel({ isUp: false }), kinds: ['device-down'] },
  {
    name: 'a tunnel that leads nowhere',
    facts: changeTunnel({ redirects: [] }),
    kinds: ['redirect'],
  },
  {
    name: 'a tunnel that is gone, and the redirect into it',
    facts: changeSurvey(
      changeLinks(across, (link) =>
        link.kind === 'tunnel' ? [] : [{ ...link, redirects: ['*'] }],
      ),
      () => ({ peers: [] }),
    ),
    kinds: ['redirect', 'no-tunnel'],
    words: [TUNNEL],
  },
  {
    name: 'a far end that is not let in',
    facts: changeSurvey(across, () => ({ peers: [] })),
    kinds: ['not-let-in'],
    words: ['192.0.2.2 sends with VNI 4096'],
  },
  {
    name: 'somebody let in without a tunnel',
    facts: changeSurvey(across, ({ peers }) => ({ peers: [...peers, '2001:db8::9 9'] })),
    kinds: ['peer-stray'],
    words: ["nft delete element inet l2wire peers6 '{ 2001:db8::9 . 9 }'"],
  },
  {
    name: 'no table at all',
    facts: changeSurvey(across, () => ({ peers: [], hasTable: false })),
    kinds: ['no-guard', 'not-let-in'],
  },
  {
    name: "somebody else's device with a name like ours",
    facts: changeSurvey(across, () => ({ foreign: ['lw0123456789abc'] })),
    kinds: ['foreign-device'],
  },
]

describe('findFaults() of a node', () => {
  describeRows('finds in the state directory', nodeRows)
  describeRows('finds in the kernel', kernelRows)
})
