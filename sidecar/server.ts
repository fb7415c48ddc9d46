// KubeVirt's hook services: bytes -> values -> core/domain -> bytes. Every version gets the same
// answers; a call that fails leaves the server as it was.
import { logVerbosity, Server, setLogVerbosity } from '@grpc/grpc-js'
import type { sendUnaryData, ServerUnaryCall, UntypedServiceImplementation } from '@grpc/grpc-js'
import type { Logger } from 'pino'

import { toLinkNames } from '../core/domain/nic.ts'
import type { PodLinks } from '../core/domain/nic.ts'
import { rewriteDomain } from '../core/domain/rewrite.ts'
import { decodeVmi, parseVmi } from '../core/domain/vmi.ts'
import { DecodeError } from '../core/errors.ts'
import { HOOK_VERSIONS, loadHookServices } from '../proto/load.ts'
import type {
  InfoResult,
  OnDefineDomainParams,
  OnDefineDomainResult,
  PreCloudInitIsoParams,
  PreCloudInitIsoResult,
} from '../proto/load.ts'
import { collectGarbage } from './memory.ts'
import { toStatus } from './status.ts'

export interface HookOptions {
  /** Interfaces with this binding are ours. */
  readonly binding: string
  readonly log: Logger
  /** Of a whole call, domain and VMI together. */
  readonly maxMessageBytes: number
  readonly readPodLinks: (names: Iterable<string>) => PodLinks
  /** Called once the answer to Shutdown is on its way. */
  readonly onShutdown: () => void
}

export function newHookServer(options: HookOptions): Server {
  // It would write to stderr in its own format what it also returns as an error.
  setLogVerbosity(logVerbosity.NONE)
  const server = new Server({
    'grpc.max_receive_message_length': options.maxMessageBytes,
    // What has been taken in gets out again, with our NICs in it.
    'grpc.max_send_message_length': -1,
    // Channelz keeps a record of every connection and call; nobody can ask for it here.
    'grpc.enable_channelz': 0,
  })
  const { log } = options
  const callbacks: UntypedServiceImplementation = {
    OnDefineDomain: toHandler<OnDefineDomainParams, OnDefineDomainResult>(log, (params) => ({
      domainXML: onDefineDomain(options, params),
    })),
    // Never subscribed to for every VM: where anybody is, KubeVirt (1.9.0: pkg/hooks/manager.go)
    // follows a nil pointer, and virt-launcher ends, for each VM without a cloud-init volume; one
    // without user data loses its metadata whatever we answer; and only one sidecar is asked. But a
    // version's services are served whole. What comes goes back.
    PreCloudInitIso: toHandler<PreCloudInitIsoParams, PreCloudInitIsoResult>(
      log,
      ({ cloudInitNoCloudSource, cloudInitData }) => ({ cloudInitNoCloudSource, cloudInitData }),
    ),
    Shutdown: toHandler<object, object>(log, () => {
      setImmediate(options.onShutdown)
      return {}
    }),
  }
  const services = loadHookServices()
  server.addService(services.info, {
    Info: toHandler<object, InfoResult>(log, () => toInfo(options.binding)),
  })
  for (const version of HOOK_VERSIONS) server.addService(services.callbacks[version], callbacks)
  return server
}

function toInfo(binding: string): InfoResult {
  return {
    name: binding,
    hookPoints: [
      { name: 'OnDefineDomain', priority: 0 },
      { name: 'Shutdown', priority: 0 },
    ],
    versions: HOOK_VERSIONS,
  }
}

function onDefineDomain(options: HookOptions, params: OnDefineDomainParams): Buffer {
  const { binding, log } = options
  const vmi = decodeVmi(parseVmi(decodeUtf8('vmi', params.vmi)), binding)
  const domainXml = decodeUtf8('domain XML', params.domainXML)
  const links = options.readPodLinks(vmi.nics.flatMap(toLinkNames))
  const { xml, nics } = rewriteDomain(domainXml, vmi, links)
  for (const nic of nics) log.info(nic, 'plugged in')
  // Not only equal text: the very bytes that came.
  return xml === domainXml ? params.domainXML : Buffer.from(xml)
}

// ignoreBOM means "leave it in the text", so that it comes out again.
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function decodeUtf8(path: string, bytes: Buffer): string {
  try {
    return UTF8.decode(bytes)
  } catch (cause) {
    throw new DecodeError(path, `${bytes.length} bytes`, 'text in UTF-8', { cause })
  }
}

/** Makes a gRPC handler of a function that returns or throws. */
function toHandler<Params, Result>(log: Logger, answer: (params: Params) => Result) {
  return (call: ServerUnaryCall<Params, Result>, callback: sendUnaryData<Result>) => {
    try {
      callback(null, answer(call.request))
    } catch (error) {
      const status = toStatus(error)
      log.error({ err: error, code: status.code }, `cannot answer ${call.getPath()}`)
      callback(status)
    }
    // After the answer, not before it.
    setImmediate(collectGarbage)
  }
}
