// One call to a gRPC service on a unix socket, with a connection of its own.
import { Client, credentials, type MethodDefinition, type ServiceDefinition } from '@grpc/grpc-js'

export interface UnaryCall {
  readonly service: ServiceDefinition
  readonly method: string
  readonly request: object
  readonly timeoutMs: number
}

/** The kubelet's own limit for lists of pods (k8s.io/kubernetes, podresources: 16 MB). */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024

/** Rejects with a gRPC ServiceError: UNAVAILABLE when nobody listens on the socket. */
export async function callOnce<Result>(
  socketPath: string,
  { service, method, request, timeoutMs }: UnaryCall,
): Promise<Result> {
  const definition: MethodDefinition<object, Result> | undefined = service[method]
  if (definition === undefined)
    throw new Error(`Cannot call "${method}": the service does not define it`)
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': MAX_ANSWER_BYTES,
    // Connections to one address are shared otherwise, and with one of them its wait to connect again.
    'grpc.use_local_subchannel_pool': 1,
  })
  try {
    return await new Promise((resolve, reject) => {
      client.makeUnaryRequest<object, Result>(
        definition.path,
        definition.requestSerialize,
        definition.responseDeserialize,
        request,
        { deadline: Date.now() + timeoutMs },
        (error, result) => {
          if (error !== null) reject(error)
          else if (result === undefined) reject(new Error(`Cannot read the answer of "${method}"`))
          else resolve(result)
        },
      )
    })
  } finally {
    client.close()
  }
}
