// Which Debian packages a VM's cloud-init data asks for. A guest of ours must contain these.
import { parse } from 'yaml'

import { isRecord } from '../core/record.ts'
import { DecodeError } from '../core/errors.ts'
import type { Vmi } from './domain-vmi.ts'

interface CloudInit {
  readonly packages: readonly string[]
  /** Whether the data configures the network. Otherwise the first NIC uses DHCP. */
  readonly hasNetwork: boolean
}

/** The data of the VMI's NoCloud volume; undefined without one. Throws DecodeError. */
function readCloudInit(vmi: Vmi): CloudInit | undefined {
  const source = vmi.spec.volumes?.find((volume) => volume.cloudInitNoCloud !== undefined)
  const data = source?.cloudInitNoCloud
  if (data === undefined) return undefined
  const user: unknown = data.userData === undefined ? {} : parse(data.userData)
  if (!isRecord(user)) throw new DecodeError('userData', data.userData, 'a YAML mapping')
  const { packages = [] } = user as { readonly packages?: readonly string[] }
  return { packages, hasNetwork: data.networkData !== undefined }
}

/** The Debian packages that the guest needs; none if the data asks for none. */
export function listGuestPackages(vmi: Vmi): readonly string[] {
  const cloudInit = readCloudInit(vmi)
  if (cloudInit === undefined) return []
  // The contents of Debian's cloud image.
  const own = ['iproute2', ...(cloudInit.hasNetwork ? [] : ['isc-dhcp-client'])]
  return [...own, ...cloudInit.packages]
}

/** The packages that cloud-init is to install. */
export function listUserPackages(vmi: Vmi): readonly string[] {
  return readCloudInit(vmi)?.packages ?? []
}
