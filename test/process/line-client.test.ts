// What another process says to kubectl-l2wire, through kubectl exec or here.
import { expect } from 'chai'
import { describe, it } from 'mocha'

import { CliError } from '../../cli/cli-error.ts'
import { newLineClient } from '../../cli/tester/line-client.ts'

async function catchFrom(argv: readonly string[]): Promise<unknown> {
  await using client = newLineClient('station at pod/h1', argv)
  return client.ask({ op: 'nic' }).catch((error: unknown) => error)
}

describe('the other side of a line', function () {
  this.timeout(60_000)

  for (const [where, redirect] of [
    ['its answer', ''],
    ['its complaints', ' >&2'],
  ] as const)
    it(`that has no end of ${where} is ended, and told of`, async () => {
      const error = await catchFrom(['sh', '-c', `exec cat /dev/zero${redirect}`])
      expect(error)
        .to.be.instanceOf(CliError)
        .with.property('message')
        .that.includes('The station at pod/h1 sent more than 32 MB')
    })

  it('answers again and again, however much that is together', async () => {
    const long = 'x'.repeat(20 * 1024 * 1024)
    const script = `while read -r line; do head -c ${long.length} /dev/zero | tr '\\0' x; echo; done`
    await using client = newLineClient('station at pod/h1', ['sh', '-c', script])
    for (const _ of [1, 2, 3]) expect((await client.ask({})).length).to.equal(long.length)
  })
})
