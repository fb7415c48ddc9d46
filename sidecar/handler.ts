// Turns a function that returns or throws into a gRPC handler. A call that fails leaves the server as it was.
import type { sendUnaryData, ServerUnaryCall } from '@grpc/grpc-js'
import type { Logger } from 'pino'

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
  }
}
