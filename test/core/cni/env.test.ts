import { expect } from 'chai'
import { describe, it } from 'mocha'

import { decodeEnv, decodePodRef, parseCniArgs } from '../../../core/cni/env.ts'
import { catchRefusal } from '../samples.ts'

const GOOD = {
  CNI_COMMAND: 'ADD',
  CNI_CONTAINERID: 'c1',
  CNI_NETNS: '/run/netns/a',
  CNI_IFNAME: 'eth1',
  CNI_ARGS: 'IgnoreUnknown=true;K8S_POD_NAME=h1',
  CNI_PATH: '/opt/cni/bin',
}

describe('decodeEnv()', () => {
  it('reads what the spec says', () => {
    expect(decodeEnv(GOOD)).to.deep.equal({
      command: 'ADD',
      containerID: 'c1',
      netns: '/run/netns/a',
      ifname: 'eth1',
      args: 'IgnoreUnknown=true;K8S_POD_NAME=h1',
      path: '/opt/cni/bin',
    })
  })

  const accepted: readonly { name: string; env: Record<string, string | undefined> }[] = [
    { name: 'a DEL without CNI_NETNS', env: { ...GOOD, CNI_COMMAND: 'DEL', CNI_NETNS: '' } },
    {
      name: 'a DEL whose CNI_ARGS and CNI_NETNS are nonsense',
      env: { ...GOOD, CNI_COMMAND: 'DEL', CNI_NETNS: 'x"', CNI_ARGS: 'y' },
    },
    { name: 'a STATUS with nothing else', env: { CNI_COMMAND: 'STATUS' } },
    { name: 'a GC with CNI_PATH', env: { CNI_COMMAND: 'GC', CNI_PATH: '/opt/cni/bin' } },
    { name: 'a VERSION with nothing else', env: { CNI_COMMAND: 'VERSION', CNI_IFNAME: 'a/b' } },
    {
      name: 'an ADD without CNI_ARGS and CNI_PATH',
      env: { ...GOOD, CNI_ARGS: '', CNI_PATH: undefined },
    },
  ]
  for (const { name, env } of accepted)
    it(`takes ${name}`, () => {
      expect(decodeEnv(env).command).to.equal(env['CNI_COMMAND'])
    })

  const refused = [
    { name: 'no verb', env: {}, words: ['CNI_COMMAND', 'missing', 'ADD, DEL'] },
    { name: 'a GC without CNI_PATH', env: { CNI_COMMAND: 'GC' }, words: ['CNI_PATH'] },
    { name: 'an unknown verb', env: { CNI_COMMAND: 'JUMP' }, words: ['CNI_COMMAND', 'JUMP'] },
    {
      name: 'missing variables, all of them',
      env: { CNI_COMMAND: 'ADD' },
      words: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'],
    },
    {
      name: 'a containerID with a slash',
      env: { ...GOOD, CNI_CONTAINERID: '../x' },
      words: ['CNI_CONTAINERID', '../x'],
    },
    {
      name: 'an ifname of 16 bytes',
      env: { ...GOOD, CNI_IFNAME: 'abcdefghijklmnop' },
      words: ['CNI_IFNAME', 'abcdefghijklmnop', '15'],
    },
    {
      name: 'an ifname that a terminal obeys',
      env: { ...GOOD, CNI_IFNAME: 'a\u001B[31m' },
      words: ['CNI_IFNAME', String.raw`a\u001b[31m`],
    },
    {
      name: 'an ifname that nobody sees all of',
      env: { ...GOOD, CNI_IFNAME: 'a\u202Eb' },
      words: ['CNI_IFNAME'],
    },
    {
      name: 'an ifname with a newline',
      env: { ...GOOD, CNI_IFNAME: 'a\nb' },
      words: ['CNI_IFNAME', String.raw`a\nb`],
    },
    {
      name: 'a netns with a quote',
      env: { ...GOOD, CNI_NETNS: '/run/netns/a"' },
      words: ['CNI_NETNS'],
    },
    {
      name: 'a netns that is no absolute path',
      env: { ...GOOD, CNI_NETNS: 'a' },
      words: ['CNI_NETNS', 'absolute'],
    },
    {
      name: 'CNI_ARGS without "="',
      env: { ...GOOD, CNI_ARGS: 'nonsense' },
      words: ['CNI_ARGS', 'nonsense'],
    },
  ]
  for (const { name, env, words } of refused)
    it(`refuses ${name} with error 4`, () => {
      const error = catchRefusal(() => decodeEnv(env))
      expect(error.code).to.equal(4)
      for (const word of words) expect(error.message).to.include(word)
    })
})

describe('parseCniArgs()', () => {
  it('splits at the first "="', () => {
    expect([...parseCniArgs('A=1;B=x=y;')]).to.deep.equal([
      ['A', '1'],
      ['B', 'x=y'],
    ])
  })
})

describe('decodePodRef()', () => {
  it('names the pod, or the namespace "default" without one', () => {
    expect(decodePodRef('K8S_POD_NAMESPACE=lab;K8S_POD_NAME=h1')).to.deep.equal({
      namespace: 'lab',
      name: 'h1',
    })
    expect(decodePodRef('')).to.deep.equal({ namespace: 'default', name: undefined })
  })
  for (const args of ['K8S_POD_NAMESPACE=../..', 'K8S_POD_NAMESPACE=a.b', 'K8S_POD_NAME=a"b'])
    it(`refuses ${args} with error 4`, () => {
      const error = catchRefusal(() => decodePodRef(args))
      expect(error.code).to.equal(4)
      expect(error.message)
        .to.include(args.split('=')[0])
        .and.to.include(JSON.stringify(args.split('=')[1]))
    })
})
