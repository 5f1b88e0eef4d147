import { parsePartialName, type PartialName } from '../client/image-name.js';
import { CommandError, usageError } from '../command-io.js';

/** An image of a registry, or a repository. */
export interface ArchiveAddress extends PartialName {
  /** The origin of `http://host:5000/<repository>`. Absent if the address is only a name: flags then choose the registry. */
  readonly origin?: string;
}

/** Parses `<repository>/<image>:<tag>`, with or without the URL of a registry before it. @throws CommandError */
export function parseArchiveAddress(address: string): ArchiveAddress {
  if (!address.includes('://')) return parsePartialName(address);
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) throw invalid(address);
  try {
    return { origin: url.origin, ...parsePartialName(url.pathname.slice(1).replace(/\/$/, '')) };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw invalid(address);
  }
}

function invalid(address: string): CommandError {
  return usageError(
    `invalid address "${address}": write it as <repository>/<image>:<tag>, or http://localhost:5000/<repository>/<image>:<tag>`,
  );
}
