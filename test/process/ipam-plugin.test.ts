// How the shim finds and runs an IPAM plugin, with executables that behave badly.
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'

import { findPlugin, runPlugin } from '../../cni-shim/plugin.ts'
import { CniError } from '../../core/errors.ts'
import { expectSoon } from '../expect-soon.ts'

async function catchError(promise: Promise<unknown>): Promise<CniError> {
  try {
    await promise
  } catch (error) {
    if (error instanceof CniError) return error
    throw error
  }
  throw new Error('Nothing was thrown, expected a CniError')
}

function isRunning(pid: string): boolean {
  try {
    process.kill(Number(pid), 0)
    return true
  } catch {
    return false
  }
}

async function run(executable: string, timeoutMs = 60_000): ReturnType<typeof runPlugin> {
  return runPlugin({ name: 'p', executable }, 'ADD', '{"a":1}', timeoutMs)
}

describe('an IPAM plugin', () => {
  let folder: string
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'l2w-plugin-'))
  })
  after(async () => {
    await rm(folder, { recursive: true })
  })
  const write = async (name: string, script: string, mode = 0o755): Promise<string> => {
    const path = join(folder, name)
    await writeFile(path, `#!/bin/sh\n${script}\n`)
    await chmod(path, mode)
    return path
  }
  it('is the first executable file of that name in CNI_PATH', async () => {
    await mkdir(join(folder, 'one'))
    await mkdir(join(folder, 'two/p'), { recursive: true })
    await write('one/p', '', 0o644)
    const executable = await write('p', '')
    const path = [join(folder, 'none'), join(folder, 'one'), join(folder, 'two'), '', folder]
    expect(await findPlugin('p', path.join(':'))).to.deep.equal({ name: 'p', executable })
    const error = await catchError(findPlugin('nobody', `${folder}:/nowhere`))
    expect(error.code).to.equal(110)
    expect(error.message).to.include('"nobody"').and.include('/nowhere')
  })

  it('has our environment, its verb, and our input', async () => {
    const executable = await write(
      'echo',
      `printf '{"command":"%s","home":"%s","input":%s}' $CNI_COMMAND "$HOME" "$(cat)"`,
    )
    expect(await run(executable)).to.deep.equal({
      command: 'ADD',
      home: process.env['HOME'] ?? '',
      input: { a: 1 },
    })
  })

  it('that hangs is killed with all it has started', async () => {
    const pids = join(folder, 'pids')
    const executable = await write(
      'hang',
      `sleep 600 & echo $$ $! >${pids}.new; mv ${pids}.new ${pids}; wait`,
    )
    const error = await catchError(run(executable, 500))
    expect(error.code).to.equal(110)
    expect(error.message).to.include('0.5 s').and.include('killed')
    for (const pid of (await readFile(pids, 'utf8')).trim().split(' ')) {
      await expectSoon(`process ${pid} is gone`, async () => {
        const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
        // Whoever adopted it may not have reaped it yet.
        return !isRunning(pid) || / [ZX] /.test(stat)
      })
    }
  })

  it('that prints without end is killed', async () => {
    const error = await catchError(run(await write('flood', 'exec yes')))
    expect(error.code).to.equal(110)
    expect(error.message).to.include('SIGKILL')
    expect(error.message.length).to.be.lessThan(400)
  })

  it('that cannot be started says so', async () => {
    const path = join(folder, 'orphan')
    await writeFile(path, '#!/nowhere/sh\n')
    await chmod(path, 0o755)
    const error = await catchError(run(path))
    expect(error.code).to.equal(110)
    expect(error.message).to.include('Cannot start').and.include('orphan')
  })

  it('that fails keeps its code, its words and its details', async () => {
    const words = '{"code":7,"msg":"no range","details":"subnet is missing"}'
    const error = await catchError(run(await write('fail', `echo '${words}'; exit 1`)))
    expect(error).to.include({ code: 7, details: 'subnet is missing' })
    expect(error.message).to.include('"p"').and.include('no range')
  })

  it('may print nothing', async () => {
    expect(await run(await write('quiet', 'exit 0'))).to.equal(undefined)
  })
})
