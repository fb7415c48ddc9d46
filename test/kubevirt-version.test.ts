// What each version of KubeVirt is built of.
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { DecodeError } from '../core/errors.ts'
import {
  DEFAULT_KUBEVIRT,
  listPrograms,
  listReplaces,
  readKubevirtVersion,
  STUBS,
  toLinkFlags,
} from '../lab/kube/kubevirt-version.ts'

const ROOT = resolve(import.meta.dirname, '..')

function toStamp(field: string, value: string): string {
  return `-X kubevirt.io/client-go/version.${field}=${value}`
}

function toReplaceLines(version: string): readonly string[] {
  return listReplaces(version).map(({ path, by }) => `${path} => ${by}`)
}

describe('a build of KubeVirt', () => {
  it('is of the default version, where nobody asks for another', () => {
    expect(readKubevirtVersion({})).to.equal(DEFAULT_KUBEVIRT)
    expect(readKubevirtVersion({ KUBEVIRT: '1.9.0' })).to.equal('1.9.0')
  })

  it('needs nothing but modules in the default version', () => {
    expect(toReplaceLines('1.7.0')).to.deep.equal([
      'kubevirt.io/api => kubevirt.io/api@v1.7.0',
      'kubevirt.io/client-go => kubevirt.io/client-go@v1.7.0',
    ])
  })

  it('has stand-ins for what the proxy lacks in a newer one', () => {
    expect(toReplaceLines('1.9.0')).to.deep.equal([
      'kubevirt.io/api => kubevirt.io/api@v1.9.0',
      'kubevirt.io/client-go => kubevirt.io/client-go@v1.9.0',
      'kubevirt.io/virt-template-api => ../stubs/kubevirt.io/virt-template-api',
      'kubevirt.io/virt-template-client-go => ../stubs/kubevirt.io/virt-template-client-go',
      'kubevirt.io/virt-template-engine => ../stubs/kubevirt.io/virt-template-engine',
      'libguestfs.org/libnbd => ../stubs/libguestfs.org/libnbd',
    ])
  })

  it('finds each stand-in', () => {
    const folders = listReplaces('1.9.0').filter(({ by }) => by.startsWith('../'))
    for (const { path, by } of folders) {
      expect(by).to.equal(`../${STUBS}/${path}`)
      expect(existsSync(join(ROOT, 'lab/kube', STUBS, path, 'go.mod')), path).to.equal(true)
    }
  })

  const SOME = ['virt-operator', 'virt-handler', 'virt-chroot', 'virt-launcher', 'virtctl']
  const SYNC = 'virt-synchronization-controller'
  const HOOK = 'libvirt-hook-client'
  for (const [version, newer, missing] of [
    ['1.5.2', [], [SYNC, HOOK]],
    ['1.7.0', [SYNC], [HOOK]],
    ['1.9.0', [SYNC, HOOK], []],
    ['1.10.0', [SYNC, HOOK], []],
  ] as const)
    it(`has the programs of ${version}`, () => {
      const names = listPrograms(version).map(({ name }) => name)
      expect(names).to.include.members([...SOME, ...newer])
      expect(names).to.not.include.oneOf([...missing, ''])
      expect(new Set(names).size).to.equal(names.length)
    })

  it('says its version as a release does', () => {
    const release = { version: '1.7.0', commit: 'a1b2', date: '2025-11-22T23:34:02Z' }
    const stamps = [
      toStamp('gitVersion', 'v1.7.0'),
      toStamp('gitCommit', 'a1b2'),
      toStamp('gitTreeState', 'clean'),
      toStamp('buildDate', '2025-11-22T23:34:02Z'),
    ]
    expect(toLinkFlags(release)).to.equal(['-s', '-w', ...stamps].join(' '))
    expect(toLinkFlags({ ...release, commit: undefined })).to.not.include('gitCommit')
  })

  for (const version of ['', 'v1.7.0', '1.7', '2.0.0', '1.9.0-rc.1', '1.7.0 -exec=sh', 'main'])
    it(`is of no version ${JSON.stringify(version)}`, () => {
      for (const decide of [listPrograms, listReplaces])
        expect(() => decide(version)).to.throw(DecodeError, 'expected a version such as 1.7.0')
    })
})
