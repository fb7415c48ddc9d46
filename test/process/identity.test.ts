// What an agent knows itself by.
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'

import { readIdentity } from '../../agent/identity.ts'

describe('readIdentity()', () => {
  let folder: string

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'l2w-state-'))
  })
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true })
  })

  it('is made once, with the name of the machine in it', async () => {
    const identity = await readIdentity(join(folder, 'state'))
    expect(identity).to.match(/_[0-9a-f-]{36}$/)
    expect(identity.startsWith(`${hostname()}_`)).to.equal(true)
    expect(await readIdentity(join(folder, 'state'))).to.equal(identity)
    expect(await readIdentity(join(folder, 'other'))).to.not.equal(identity)
    expect(await readdir(join(folder, 'state'))).to.deep.equal(['identity'])
  })

  it('is made anew where the disk has lost it', async () => {
    await writeFile(join(folder, 'identity'), '')
    const identity = await readIdentity(folder)
    expect(identity).to.match(/_[0-9a-f-]{36}$/)
    expect(await readIdentity(folder)).to.equal(identity)
  })
})
