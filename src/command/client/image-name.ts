import { usageError } from '../command-io.js';

/** The parts of `repository/image:tag` and `repository/image@digest`. */
export interface ImageName {
  readonly repository: string;
  readonly image: string;
  readonly reference?: string;
}

/** The same for a name that may end with the repository. */
export type PartialName = Pick<ImageName, 'repository' | 'reference'> & Partial<Pick<ImageName, 'image'>>;

/** Parses a name without a host. @throws CommandError with exit code 2 for another form. */
export function parsePartialName(text: string): PartialName {
  const match = /^(?<repository>[^/:@]+)(?:\/(?<image>[^:@]+)(?:[:@](?<reference>.+))?)?$/.exec(text);
  const { repository, image, reference } = match?.groups ?? {};
  if (repository === undefined) throw invalid(text);
  return {
    repository,
    ...(image === undefined ? {} : { image }),
    ...(reference === undefined ? {} : { reference }),
  };
}

/** Parses a name of an image. @throws CommandError with exit code 2 for another form. */
export function parseImageName(text: string): ImageName {
  const { image, ...rest } = parsePartialName(text);
  if (image === undefined) throw invalid(text);
  return { ...rest, image };
}

function invalid(text: string): Error {
  return usageError(`invalid image "${text}": write it as <repository>/<image>, optionally with :<tag> or @<digest>`);
}
