import { expect } from 'chai'
import { describe, it } from 'mocha'

import {
  judge,
  setRegistered,
  setUnregistered,
  UNREGISTERED,
  WATCH_MS,
  type ObservedKubelet,
  type Registration,
  type RegistrationTodo,
} from '../../../core/attach/registration.ts'

const HERE: ObservedKubelet = { kubelet: 'kubelet.sock 7 1', isWatched: false, nowMs: 10_000 }
const TAKEN = setRegistered('kubelet.sock 7 1', 10_000)

/** What is to be done, one look after the other. */
function judgeAll(
  registration: Registration,
  looks: readonly Partial<ObservedKubelet>[],
): readonly RegistrationTodo[] {
  let now = registration
  return looks.map((look) => {
    const [next, todo] = judge(now, { ...HERE, ...look })
    now = next
    return todo
  })
}

describe('judge() of a registration', () => {
  it('waits for a kubelet, and says so once until one took it', () => {
    const none = { kubelet: undefined }
    expect(judgeAll(UNREGISTERED, [none, none, {}])).to.deep.equal([
      'say-missed',
      'await-kubelet',
      'register',
    ])
    expect(judgeAll(TAKEN, [none, none])).to.deep.equal(['say-missed', 'await-kubelet'])
    const [missed] = judge(UNREGISTERED, { ...HERE, ...none })
    expect(judgeAll(setUnregistered(missed), [none])).to.deep.equal(['await-kubelet'])
  })

  it('registers with each kubelet that comes', () => {
    expect(judgeAll(UNREGISTERED, [{}])).to.deep.equal(['register'])
    expect(judgeAll(TAKEN, [{ kubelet: 'kubelet.sock 7 2', isWatched: true }])).to.deep.equal([
      'register',
    ])
    expect(judgeAll(setUnregistered(TAKEN), [{ isWatched: true }])).to.deep.equal(['register'])
  })

  it('rests while the kubelet watches the list', () => {
    const watched = { isWatched: true, nowMs: 99_000 }
    expect(judgeAll(TAKEN, [{}, watched, watched])).to.deep.equal(['await-watch', 'rest', 'rest'])
  })

  it('registers again with one that does not watch, but not at the first look', () => {
    const late = { nowMs: 10_000 + WATCH_MS }
    expect(judgeAll(TAKEN, [late, late])).to.deep.equal(['doubt', 'register'])
    expect(judgeAll(TAKEN, [late, { ...late, isWatched: true }, late])).to.deep.equal([
      'doubt',
      'rest',
      'doubt',
    ])
  })
})
