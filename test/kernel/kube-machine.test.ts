// The little machines that a cluster is made of: what ends when, and that nothing is left.
import { expect } from 'chai'
import { beforeEach, describe, it } from 'mocha'

import { listFolders, listProcesses, removeCgroup } from '../../lab/kube/cgroups.ts'
import { newMachine, type Machine } from '../../lab/kube/machine.ts'
import { newTemporaryFolder } from '../../lab/temporary-folder.ts'
import { expectSoon } from '../expect-soon.ts'
import { eachLeavesNothing } from '../nothing-left.ts'

const SETUP = 'fabric-setup.sh'

describe('a machine of a cluster', () => {
  const cgroup = `l2w-machine-${process.pid}`
  let machine: Machine

  eachLeavesNothing(async (made) => {
    const { path } = made.use(await newTemporaryFolder('machine'))
    machine = newMachine('m1', { folder: path, cgroup })
    made.defer(async () => removeCgroup(cgroup))
    made.defer(async () => machine.powerOff())
  })

  beforeEach(async () => machine.powerOn(SETUP, []))

  it('has processes, devices and a name of its own', async () => {
    expect(await machine.run(['hostname'])).to.equal('fabric\n')
    expect(await machine.run(['ls', '/sys/class/net'])).to.equal('lo\n')
    expect(await machine.run(['cat', '/proc/1/comm'])).to.equal('sh\n')
  })

  it('is switched on once', async () => {
    const pid = await machine.getPid()
    await machine.powerOn(SETUP, [])
    expect(await machine.getPid()).to.equal(pid)
  })

  it('takes in orphans', async () => {
    await machine.run(['sh', '-c', '(setsid sleep 0.1 &)'])
    await expectSoon('no process that has ended is left', async () => {
      const states = await machine.run(['ps', '-e', '-o', 'stat=,args='])
      return !/^Z|sleep 0.1/m.test(states)
    })
  })

  it('runs daemons in its cgroups, and they outlive who started them', async () => {
    await machine.start('sleep', ['sleep', '1d'])
    expect(await machine.runs('sleep')).to.equal(true)
    expect(await machine.run(['sh', '-c', 'cat /proc/$(cat /run/l2w/sleep.pid)/cgroup'])).to.match(
      /:\/init$/m,
    )
    const before = await listProcesses(cgroup)
    await machine.start('sleep', ['sleep', '1d'])
    expect(await listProcesses(cgroup)).to.have.members(before)
    await machine.stop('sleep')
    expect(await machine.runs('sleep')).to.equal(false)
    await machine.stop('sleep')
  })

  it('keeps what a daemon said that has ended', async () => {
    await machine.start('sleep', ['sleep', 'for ever'])
    await expectSoon('it has ended', async () => !(await machine.runs('sleep')))
    expect(await machine.readLog('sleep')).to.include("invalid time interval 'for ever'")
  })

  it('ends a daemon that does not want to', async () => {
    await machine.start('sh', ['sh', '-c', 'trap "" HUP; while :; do sleep 1; done'])
    await machine.stop('sh', 'SIGKILL')
    expect(await machine.runs('sh')).to.equal(false)
  })

  it('stops a daemon in its tracks', async () => {
    await machine.start('sleep', ['sleep', '1d'])
    await machine.signal('sleep', 'SIGSTOP')
    expect(await machine.run(['ps', '-C', 'sleep', '-o', 'stat=,args='])).to.match(/^T.*sleep 1d$/m)
    expect(await machine.runs('sleep')).to.equal(true)
  })

  it('is off at once, with all that runs and all its cgroups', async () => {
    await machine.start('sleep', ['sleep', '1d'])
    await machine.powerOff()
    expect(await machine.isOn()).to.equal(false)
    expect(await listProcesses(cgroup)).to.deep.equal([])
    expect((await listFolders(cgroup)).filter((folder) => folder.includes('/m1'))).to.deep.equal([])
    await machine.powerOn(SETUP, [])
    expect(await machine.runs('sleep')).to.equal(false)
  })

  it('is on again after its first process was killed', async () => {
    await machine.start('sleep', ['sleep', '1d'])
    process.kill(await machine.getPid(), 'SIGKILL')
    await expectSoon('it is off', async () => !(await machine.isOn()))
    await machine.powerOn(SETUP, [])
    expect(await machine.runs('sleep')).to.equal(false)
  })

  it('says why it does not start', async () => {
    await machine.powerOff()
    let message = ''
    await machine.powerOn('no-such-setup.sh', []).catch((error: unknown) => {
      message = String(error)
    })
    expect(message).to.match(/Machine "m1" does not start: [^]*no-such-setup\.sh/)
  })

  it('has no process when it is off', async () => {
    await machine.powerOff()
    let message = ''
    await machine.run(['true']).catch((error: unknown) => {
      message = String(error)
    })
    expect(message).to.include('Machine "m1" is off, expected it to be on')
  })
})
