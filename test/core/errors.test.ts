import { expect } from 'chai'
import { describe, it } from 'mocha'

import {
  CommandError,
  DecodeError,
  NotSupportedError,
  renderCauses,
  renderValue,
} from '../../core/errors.ts'

function tellSuppressed(first: string, then: string): string {
  const disposed = new Error(then, { cause: 'x' })
  return renderCauses(new SuppressedError(disposed, new Error(first, { cause: 'x' })))
}

describe('errors', () => {
  it('DecodeError names path, value and expectation', () => {
    const error = new DecodeError('mtu', 'x', 'a number')
    expect(error.message).to.equal('Cannot decode "mtu": it is "x", expected a number')
    expect(error.path).to.equal('mtu')
    expect(new DecodeError('mtu', undefined, 'a number').message).to.include('it is missing')
  })

  it('CommandError keeps everything the process said', () => {
    const argv = ['ip', 'link']
    expect(new CommandError(argv, { exitCode: 2, stderr: 'no\n' }).message).to.equal(
      'Cannot run "ip link": exit code 2: no',
    )
    expect(new CommandError(argv, { signal: 'SIGKILL', stderr: '' }).message).to.equal(
      'Cannot run "ip link": signal SIGKILL',
    )
    expect(new CommandError(argv, { stderr: '' }).message).to.include('signal unknown')
  })

  it('renderCauses() tells the whole story in one line', () => {
    const error = new NotSupportedError('a', { cause: new Error('b', { cause: 'c' }) })
    expect(renderCauses(error)).to.equal('a: b: c')
  })

  it('renderCauses() tells what came first, and what the clearing up made of it', () => {
    expect(tellSuppressed('a', 'b')).to.equal('a: x; and behind it: b: x')
    expect(tellSuppressed('a', 'a')).to.equal('a: x')
  })

  it('renderValue() escapes and cuts', () => {
    expect(renderValue('a\n')).to.equal(String.raw`"a\n"`)
    expect(renderValue('\u009b\u202e\u2028')).to.equal(String.raw`"\u009b\u202e\u2028"`)
    expect(renderValue('x'.repeat(500))).to.have.length(120)
  })
})
