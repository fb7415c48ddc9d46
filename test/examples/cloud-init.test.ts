// What the lab plays of cloud-init, and that it refuses the rest instead of leaving it out.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import { DecodeError } from '../../core/errors.ts'
import { listGuestPackages, readCloudInit, toShell } from '../../lab/cloud-init.ts'
import { toVmi, type Vmi } from '../../lab/domain-vmi.ts'
import { findGuestFiles } from '../../lab/guest-packages.ts'

function newVmi(userData?: string, networkData = 'version: 2'): Vmi {
  const cloudInitNoCloud = { userData, networkData }
  const volumes = userData === undefined ? [] : [{ name: 'cloudinit', cloudInitNoCloud }]
  const spec = { domain: { devices: {} }, volumes }
  const metadata = { name: 'r1' }
  return toVmi({ kind: 'VirtualMachine', metadata, spec: { template: { spec } } })
}

describe('cloud-init in the lab', () => {
  it('asks nothing of a VM without it', () => {
    expect(readCloudInit(newVmi())).to.equal(undefined)
    expect(listGuestPackages(newVmi())).to.deep.equal([])
  })

  it('brings the packages that it names, and what every cloud image has', () => {
    const vmi = newVmi('#cloud-config\npackages: [lldpd]\n')
    expect(listGuestPackages(vmi)).to.deep.equal(['iproute2', 'lldpd'])
  })

  it('brings a DHCP client where nothing is said of the network', () => {
    const cloudInitNoCloud = { userData: '#cloud-config\npackages: [lldpd]\n' }
    const vmi = newVmi()
    const spec = { ...vmi.spec, volumes: [{ name: 'cloudinit', cloudInitNoCloud }] }
    expect(listGuestPackages({ ...vmi, spec })).to.deep.equal([
      'iproute2',
      'isc-dhcp-client',
      'lldpd',
    ])
  })

  const refusals = [
    { name: 'a key that it does not play', userData: 'bootcmd: [ls]', want: /userData\.bootcmd/ },
    { name: 'what is no mapping', userData: '- ls', want: /userData.*YAML mapping/ },
  ]
  for (const { name, userData, want } of refusals)
    it(`refuses ${name}`, () => {
      expect(() => readCloudInit(newVmi(userData))).to.throw(DecodeError, want)
    })

  it('refuses a package that it cannot put into a guest', async () => {
    const error = await findGuestFiles(['emacs']).catch((reason: unknown) => reason)
    expect(error).to.be.instanceOf(Error).with.property('message').that.includes('"emacs"')
  })

  it('takes a text for a shell, and a list for an argv', () => {
    expect(toShell('ls | wc')).to.equal('ls | wc')
    expect(toShell(['echo', "it's", '$HOME'])).to.equal(`'echo' 'it'\\''s' '$HOME'`)
  })
})
