// KubeVirt's images as lists: each version's programs, and what Debian's root needs to pass for KubeVirt's own.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import type { Entry } from '../../lab/kube/entries.ts'
import type { KubevirtBuild } from '../../lab/kube/programs.ts'
import {
  planKubevirtImages,
  toImageName,
  withoutKvm,
  type KubevirtImage,
} from '../../lab/kube/kubevirt-images.ts'

const LABELLER = `#!/bin/bash
KVM_MINOR=$(grep -w 'kvm' /proc/misc | cut -f 1 -d' ')
if [ ! -e /dev/kvm ] && [ -n "$KVM_MINOR" ]; then
  mknod /dev/kvm c 10 $KVM_MINOR
fi
`
const SOURCE = { labeller: LABELLER, user: '107' }

const BUILD: KubevirtBuild = {
  version: '1.7.0',
  folder: '/programs',
  source: '/source',
  programs: [
    'container-disk',
    'csv-generator',
    'virt-api',
    'virt-chroot',
    'virt-controller',
    'virt-exportproxy',
    'virt-freezer',
    'virt-handler',
    'virt-launcher',
    'virt-launcher-monitor',
    'virt-operator',
    'virt-probe',
    'virt-synchronization-controller',
    'virt-tail',
  ],
}

const getImage = (name: string, build = BUILD): KubevirtImage => {
  const found = planKubevirtImages(build, SOURCE).find((image) => image.name === name)
  if (found === undefined) throw new Error(`No image "${name}"`)
  return found
}

const getEntry = (image: KubevirtImage, path: string): Entry => {
  const found = image.entries.find((entry) => entry.path === path)
  if (found === undefined) throw new Error(`No entry "${path}" in ${image.name}`)
  return found
}

describe("KubeVirt's images", () => {
  it('have their published names, and start one program each', () => {
    const images = planKubevirtImages(BUILD, SOURCE)
    expect(images.map(({ name }) => toImageName(BUILD, name))).to.have.members([
      'quay.io/kubevirt/virt-operator:v1.7.0',
      'quay.io/kubevirt/virt-api:v1.7.0',
      'quay.io/kubevirt/virt-controller:v1.7.0',
      'quay.io/kubevirt/virt-exportproxy:v1.7.0',
      'quay.io/kubevirt/virt-synchronization-controller:v1.7.0',
      'quay.io/kubevirt/virt-handler:v1.7.0',
      'quay.io/kubevirt/virt-launcher:v1.7.0',
    ])
    for (const image of images) {
      expect(image.start.entrypoint).to.deep.equal([`/usr/bin/${image.name}`])
      expect(getEntry(image, `usr/bin/${image.name}`).of).to.deep.equal({
        file: `/programs/${image.name}`,
      })
    }
  })

  it('are those alone that the version has programs for', () => {
    const programs = BUILD.programs.filter((name) => name !== 'virt-synchronization-controller')
    const names = planKubevirtImages({ ...BUILD, programs }, SOURCE).map(({ name }) => name)
    expect(names).to.have.length(6).and.not.include('virt-synchronization-controller')
  })

  it('name no path twice', () => {
    for (const { name, entries } of planKubevirtImages(BUILD, SOURCE)) {
      const paths = entries.map(({ path }) => path)
      expect(new Set(paths).size, name).to.equal(paths.length)
    }
  })

  it('have the operator write manifests, as an unprivileged user', () => {
    const operator = getImage('virt-operator')
    expect(operator.start.user).to.equal('1001')
    getEntry(operator, 'usr/bin/csv-generator')
    expect(getEntry(operator, 'tmp').mode).to.equal(0o1777)
  })

  it('give the launcher what Debian lacks', () => {
    const launcher = getImage('virt-launcher')
    expect(launcher).to.deep.include({ base: 'launcher' })
    expect(launcher.start.user).to.equal('107')
    const before = planKubevirtImages(BUILD, { ...SOURCE, user: undefined })
    expect(before.find(({ name }) => name === 'virt-launcher')?.start.user).to.equal(undefined)
    expect(getEntry(launcher, 'usr/bin/virt-launcher-monitor').capabilities).to.equal(
      'cap_net_bind_service=+ep',
    )
    expect(getEntry(launcher, 'etc/libvirt/hooks').owner).to.equal(107)
    expect(getEntry(launcher, 'etc/libvirt/qemu.conf').mode).to.equal(0o644)
    expect(getEntry(launcher, 'usr/sbin/virtqemud').of)
      .to.have.property('text')
      .that.includes('exec /usr/sbin/libvirtd "$@"')
    expect(launcher.entries.map(({ path }) => path)).to.not.include('usr/bin/libvirt-hook-client')
    const programs = [...BUILD.programs, 'libvirt-hook-client']
    getEntry(getImage('virt-launcher', { ...BUILD, programs }), 'usr/bin/libvirt-hook-client')
  })
})

describe('node-labeller.sh', () => {
  const rows = [
    {
      name: 'of 1.7',
      line: "KVM_MINOR=$(grep -w 'kvm' /proc/misc | cut -f 1 -d' ')",
      want: 'KVM_MINOR=',
    },
    {
      name: 'of 1.9',
      line: "HYPERVISOR_DEV_MINOR=$(grep -w ${HYPERVISOR_DEVICE} /proc/misc | cut -f 1 -d' ')",
      want: 'HYPERVISOR_DEV_MINOR=',
    },
  ]
  for (const { name, line, want } of rows)
    it(`${name} finds no KVM`, () => {
      expect(withoutKvm(`set +o pipefail\n${line}\nset -o pipefail\n`)).to.equal(
        `set +o pipefail\n${want}\nset -o pipefail\n`,
      )
    })

  it('that asks in another way is refused', () => {
    expect(() => withoutKvm('exit 0\n')).to.throw('node-labeller.sh')
  })
})
