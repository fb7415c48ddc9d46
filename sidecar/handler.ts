// A gRPC handler of a function that returns or throws: a call that fails leaves the server as it was.
import type { sendUnaryData, ServerUnaryCall } from '@grpc/grpc-js'
import type { Logger } from 'pino'

import { collectGarbageSoon } from './memory.ts'
import { toStatus } from './status.ts'

export function toHandler<Params, Result>(log: Logger, answer: (params: Params) => Result) {
  return (call: ServerUnaryCall<Params, Result>, callback: sendUnaryData<Result>) => {
    try {
      callback(null, answer(call.request))
    } catch (error) {
      const status = toStatus(error)
      log.error({ err: error, code: status.code }, `cannot answer ${call.getPath()}`)
      callback(status)
    }
    // After the answer, not before it.
    setImmediate(collectGarbageSoon)
  }
}
