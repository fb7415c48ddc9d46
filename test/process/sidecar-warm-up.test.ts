// The sidecar plays a call to itself while nobody waits. Nobody is to notice, but for the time.
import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'chai'
import { describe, it } from 'mocha'

import { readPlain } from '../../core/domain/plain.ts'
import { SAMPLE_DOMAIN, warmUp } from '../../sidecar/warm-up.ts'
import { newSidecar } from './sidecar-process.ts'

describe('warmUp()', () => {
  it('goes the way of a real call: a plain document, and a NIC that is plugged in', () => {
    expect(readPlain(SAMPLE_DOMAIN)?.name).to.equal('domain')
    const answer = warmUp().toString()
    expect(answer).to.include('<target dev="tap0" managed="no"/>')
    expect(answer).to.include('<alias name="ua-second"/>')
  })
})

describe("l2wire-sidecar's warm-up", () => {
  it('is not heard of', async () => {
    await using sidecar = newSidecar()
    await (await sidecar.connect()).info()
    await sleep(500)
    expect(sidecar.log().trimEnd().split('\n')).to.have.length(1)
    expect(sidecar.log()).to.include('"listening"')
  })
})
