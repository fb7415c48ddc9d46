// Keys and certificates of a cluster, as a cluster installer makes them: an authority, and one certificate for
// each component, whose subject holds its rights. openssl signs them, because Node does not.
import { generateKeyPairSync } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { run } from '../../kernel/run.ts'
import { exists } from '../go-build.ts'
import { KEYS } from './state.ts'

export interface KeyPair {
  readonly certificate: string
  readonly key: string
}

export interface CertificateOptions {
  /** Such as "/O=system:nodes/CN=system:node:n1": the group and the user. */
  readonly subject: string
  /** The names and IP addresses of a server. */
  readonly names?: readonly string[]
  /** Default: the cluster's own. */
  readonly authority?: string
}

export const AUTHORITY = 'ca'
/** For the one client that may speak for others: the API server when it forwards a request. */
export const PROXY_AUTHORITY = 'front-proxy-ca'

const DAYS = '3650'
const CONFIG = '[req]\ndistinguished_name = subject\n[subject]\n'

/** Files of a key pair, by its name. */
export function toKeyPair(name: string): KeyPair {
  return { certificate: join(KEYS, `${name}.crt`), key: join(KEYS, `${name}.key`) }
}

export async function ensureAuthority(name: string): Promise<KeyPair> {
  return ensureKeyPair(name, `/CN=${name}`, [
    'basicConstraints=critical,CA:TRUE',
    'keyUsage=critical,keyCertSign,cRLSign,digitalSignature',
    'subjectKeyIdentifier=hash',
  ])
}

/** For a client, and also for a server if it has names. */
export async function ensureCertificate(
  name: string,
  { subject, names = [], authority = AUTHORITY }: CertificateOptions,
): Promise<KeyPair> {
  const isServer = names.length > 0
  const extensions = [
    'basicConstraints=critical,CA:FALSE',
    'keyUsage=critical,digitalSignature,keyEncipherment',
    `extendedKeyUsage=${isServer ? 'serverAuth,clientAuth' : 'clientAuth'}`,
    ...(isServer ? [`subjectAltName=${names.map(toName).join(',')}`] : []),
  ]
  return ensureKeyPair(name, subject, extensions, await ensureAuthority(authority))
}

function toName(name: string): string {
  return `${/^[\d.]+$|:/.test(name) ? 'IP' : 'DNS'}:${name}`
}

/** Self-signed if there is no issuer. */
async function ensureKeyPair(
  name: string,
  subject: string,
  extensions: readonly string[],
  signer?: KeyPair,
): Promise<KeyPair> {
  const pair = toKeyPair(name)
  // It is written last.
  if (await exists(pair.certificate)) return pair
  await mkdir(KEYS, { recursive: true, mode: 0o700 })
  const config = join(KEYS, 'openssl.cnf')
  await writeFile(config, CONFIG)
  const request = 'openssl req -x509 -noenc -newkey ec -pkeyopt ec_paramgen_curve:P-256'
  const signing = signer === undefined ? [] : ['-CA', signer.certificate, '-CAkey', signer.key]
  const files = ['-config', config, '-keyout', pair.key, '-out', pair.certificate]
  const added = extensions.flatMap((extension) => ['-addext', extension])
  const argv = [...request.split(' '), '-days', DAYS, '-subj', subject]
  await run([...argv, ...signing, ...files, ...added])
  return pair
}

/** The key that signs tokens of service accounts. */
export async function ensureSigningKey(): Promise<string> {
  const file = join(KEYS, 'service-account.key')
  if (await exists(file)) return file
  await mkdir(KEYS, { recursive: true, mode: 0o700 })
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  await writeFile(file, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  return file
}

/** In the form of a kubeconfig. */
export async function readBase64(file: string): Promise<string> {
  return (await readFile(file)).toString('base64')
}
