import { expect } from 'chai'
import { describe, it } from 'mocha'

import type { PodLinks } from '../../../core/domain/nic.ts'
import { LinkUnfitError } from '../../../core/errors.ts'
import type { VmiParts } from './samples.ts'
import { newDomain, newLinks, newVmi, OURS, POD_LINK, rewrite, TAP } from './samples.ts'

const asks = { networkInterfaceMultiqueue: true }

function withTap(isMultiQueue: boolean | undefined): PodLinks {
  return newLinks({ [POD_LINK]: {}, [TAP]: { isMultiQueue } })
}

function cores(count: number): VmiParts {
  return { domain: { cpu: { cores: count } } }
}

function running(queueCount: number): VmiParts {
  return { status: { interfaces: [{ name: 'ge0', infoSource: 'domain', queueCount }] } }
}

function newXml(driver: string): string {
  return newDomain(`<interface type="ethernet"><alias name="ua-ge0"/>${driver}</interface>`)
}

describe('rewriteDomain() and the queues of a NIC', () => {
  const rows: readonly {
    name: string
    driver?: string
    vmi: object
    isMultiQueue: boolean | undefined
    want: string | undefined
  }[] = [
    {
      name: 'keeps several on a tap for several, whatever the vCPUs are since',
      driver: '<driver name="vhost" queues="2"/>',
      vmi: newVmi({ ...cores(8), devices: asks }),
      isMultiQueue: true,
      want: '2',
    },
    {
      name: 'keeps no more than a tap can have',
      driver: '<driver name="vhost" queues="300"/>',
      vmi: newVmi({ ...cores(8), devices: asks }),
      isMultiQueue: true,
      want: '256',
    },
    {
      name: 'gives more than one to a tap for several',
      driver: '<driver name="vhost" queues="1"/>',
      vmi: newVmi({ ...cores(8), devices: asks }),
      isMultiQueue: true,
      want: '8',
    },
    {
      name: 'gives as many as the VM runs with',
      vmi: newVmi({ ...cores(8), devices: asks, ...running(4) }),
      isMultiQueue: true,
      want: '4',
    },
    {
      name: 'gives them to a VMI that does not ask',
      vmi: newVmi(cores(1)),
      isMultiQueue: true,
      want: '2',
    },
    {
      name: 'takes them off for a tap for one',
      driver: '<driver name="vhost" queues="4"/>',
      vmi: newVmi({ ...cores(4), devices: asks, ...running(4) }),
      isMultiQueue: false,
      want: undefined,
    },
    {
      name: 'keeps those of what is no tap',
      driver: '<driver name="vhost" queues="2"/>',
      vmi: newVmi({ ...cores(8), devices: asks }),
      isMultiQueue: undefined,
      want: '2',
    },
  ]
  for (const { name, driver = '', vmi, isMultiQueue, want } of rows)
    it(name, () => {
      const { xml } = rewrite(newXml(driver), vmi, withTap(isMultiQueue))
      expect(/queues="(\d+)"/.exec(xml)?.[1]).to.equal(want)
    })

  it('says what is wrong with a tap for several queues under a model that opens one', () => {
    const vmi = newVmi({ interfaces: [{ ...OURS, model: 'e1000' }] })
    expect(() => rewrite(newDomain(''), vmi, withTap(true))).to.throw(
      LinkUnfitError,
      `interface "ge0" of model e1000: "${TAP}" is made for several queues`,
    )
  })
})
