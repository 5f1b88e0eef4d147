import { hrefOf } from './location.ts';
import { session } from './session.ts';

/** An image: its repository and its name in it. */
export interface ImageName {
  readonly repository: string;
  readonly image: string;
}

/** Returns the address of the view of an image's tags, or of one of its manifests. */
export function imageHref(
  { repository, image }: ImageName,
  parameters: Readonly<Record<string, string | undefined>> = {},
): string {
  return hrefOf(`/images/${repository}/${image}`, parameters);
}

/** Returns the name of an image as clients write it, with a tag or digest: `registry.example/local/app:1`. */
function clientName({ repository, image }: ImageName, reference: string): string {
  const separator = reference.includes(':') ? '@' : ':';
  return `${session.value?.registry.host ?? ''}/${repository}/${image}${separator}${reference}`;
}

/** Returns the command that pulls an image, for each client. */
export function pullLines(name: ImageName, reference: string): readonly (readonly [client: string, line: string])[] {
  const whole = clientName(name, reference);
  const isSecure = session.value?.registry.secure === true;
  const plain = (flag: string): string => (isSecure ? '' : ` ${flag}`);
  return [
    ['docker', `docker pull ${whole}`],
    ['podman', `podman pull${plain('--tls-verify=false')} ${whole}`],
    ['nerdctl', `nerdctl${plain('--insecure-registry')} pull ${whole}`],
    ['ctr', `ctr images pull${plain('--plain-http')} ${whole}`],
    ['skopeo', `skopeo copy${plain('--src-tls-verify=false')} docker://${whole} oci:image`],
    ['crane', `crane pull${plain('--insecure')} ${whole} image.tar`],
    ['helm', `helm pull${plain('--plain-http')} oci://${whole.replace(/[@:][^/]*$/, '')} --version ${reference}`],
    ['Kubernetes', `image: ${whole}`],
    ['Dockerfile', `FROM ${whole}`],
  ];
}
