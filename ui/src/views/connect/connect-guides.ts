/** The address of the registry for clients. */
export interface Place {
  /** The host with its port. */
  readonly host: string;
  /** Whether it speaks https. */
  readonly secure: boolean;
  /** The path before `/v2`. */
  readonly prefix: string;
}

/** Lines for a client: commands, or the content of a file. */
export interface Lines {
  readonly title: string;
  /** The path of the file that the lines belong to. @default they are commands */
  readonly file?: string;
  readonly text: string;
}

/** The instructions for one client. */
export interface Guide {
  readonly key: string;
  readonly client: string;
  readonly lines: readonly Lines[];
}

/** Returns the instructions for each client to use a repository of the registry. */
export function connectGuides(place: Place, repository: string): readonly Guide[] {
  const image = `${place.host}/${repository}/app:1`;
  return [
    { key: 'docker', client: 'docker', lines: dockerLines(place, image) },
    { key: 'podman', client: 'podman', lines: podmanLines(place, image) },
    { key: 'containerd', client: 'containerd', lines: containerdLines(place, image) },
    { key: 'buildkit', client: 'BuildKit', lines: buildkitLines(place, image) },
    { key: 'kubernetes', client: 'Kubernetes', lines: kubernetesLines(place, image) },
    { key: 'skopeo', client: 'skopeo', lines: skopeoLines(place, image) },
    { key: 'crane', client: 'crane', lines: craneLines(place, image) },
    { key: 'oras', client: 'oras', lines: orasLines(place, image) },
    { key: 'helm', client: 'Helm', lines: helmLines(place, repository) },
    { key: 'ci', client: 'CI', lines: ciLines(place, image) },
  ];
}

/** Returns whether the daemon allows plain http to the host by default. */
function isLoopback(host: string): boolean {
  return /^(?:localhost|127(?:\.\d+){3}|\[::1\])(?::\d+)?$/.test(host);
}

function dockerLines({ host, secure }: Place, image: string): readonly Lines[] {
  const settings = JSON.stringify({ 'insecure-registries': [host] }, null, 2);
  return [
    ...(secure || isLoopback(host)
      ? []
      : [{ title: 'Allow plain http, then restart the daemon', file: '/etc/docker/daemon.json', text: settings }]),
    { title: 'Log in', text: `docker login ${host}` },
    { title: 'Push', text: `docker tag app:1 ${image}\ndocker push ${image}` },
    { title: 'Pull', text: `docker pull ${image}` },
  ];
}

function podmanLines({ host, secure }: Place, image: string): readonly Lines[] {
  const file = '/etc/containers/registries.conf.d/artifactapi.conf';
  const settings = `[[registry]]\nlocation = "${host}"\ninsecure = true`;
  return [
    ...(secure ? [] : [{ title: 'Allow plain http, for buildah too', file, text: settings }]),
    { title: 'Log in', text: `podman login ${host}` },
    { title: 'Push', text: `podman push app:1 ${image}` },
    { title: 'Pull', text: `podman pull ${image}` },
  ];
}

function containerdLines(place: Place, image: string): readonly Lines[] {
  const { host, secure, prefix } = place;
  const address = originOf(place);
  const isBelow = prefix !== '';
  const settings = [
    `server = "${address}${isBelow ? `${prefix}/v2` : ''}"`,
    '',
    `[host."${address}${isBelow ? `${prefix}/v2` : ''}"]`,
    '  capabilities = ["pull", "resolve", "push"]',
    ...(isBelow ? ['  override_path = true'] : []),
  ].join('\n');
  return [
    { title: 'Describe the registry', file: `/etc/containerd/certs.d/${host}/hosts.toml`, text: settings },
    {
      title: 'Enable the folder (containerd 2.x)',
      file: '/etc/containerd/config.toml',
      text: `[plugins."io.containerd.cri.v1.images".registry]\n  config_path = "/etc/containerd/certs.d"`,
    },
    { title: 'Pull', text: `ctr images pull --hosts-dir /etc/containerd/certs.d ${image}` },
    { title: 'Pull with nerdctl', text: `nerdctl${secure ? '' : ' --insecure-registry'} pull ${image}` },
  ];
}

function buildkitLines({ host, secure }: Place, image: string): readonly Lines[] {
  const settings = `[registry."${host}"]\n  http = true`;
  const file = '/etc/buildkit/buildkitd.toml';
  return [
    ...(secure ? [] : [{ title: 'Allow plain http', file, text: settings }]),
    { title: 'Build and push', text: `docker buildx build --push --tag ${image} .` },
    {
      title: 'Store the build cache here too',
      text: [
        `docker buildx build --push --tag ${image} \\`,
        `  --cache-to type=registry,ref=${withoutTag(image)}:cache,mode=max \\`,
        `  --cache-from type=registry,ref=${withoutTag(image)}:cache .`,
      ].join('\n'),
    },
  ];
}

function kubernetesLines({ host }: Place, image: string): readonly Lines[] {
  return [
    {
      title: 'Store the login',
      text: [
        'kubectl create secret docker-registry artifactapi \\',
        `  --docker-server=${host} --docker-username=NAME --docker-password=TOKEN`,
      ].join('\n'),
    },
    {
      title: 'Use it in a pod',
      file: 'pod.yaml',
      text: [
        'apiVersion: v1',
        'kind: Pod',
        'metadata:',
        '  name: app',
        'spec:',
        '  imagePullSecrets:',
        '    - name: artifactapi',
        '  containers:',
        '    - name: app',
        `      image: ${image}`,
      ].join('\n'),
    },
  ];
}

function skopeoLines({ host, secure }: Place, image: string): readonly Lines[] {
  const plain = (flag: string): string => (secure ? '' : ` --${flag}=false`);
  return [
    { title: 'Log in', text: `skopeo login${plain('tls-verify')} ${host}` },
    { title: 'Push', text: `skopeo copy${plain('dest-tls-verify')} docker-archive:app.tar docker://${image}` },
    { title: 'Pull', text: `skopeo copy${plain('src-tls-verify')} docker://${image} oci-archive:pulled.tar` },
    { title: 'List the tags', text: `skopeo list-tags${plain('tls-verify')} docker://${withoutTag(image)}` },
  ];
}

function craneLines({ host, secure }: Place, image: string): readonly Lines[] {
  const plain = secure ? '' : ' --insecure';
  return [
    { title: 'Log in', text: `crane auth login ${host} --username NAME --password TOKEN` },
    { title: 'Push', text: `crane push${plain} app.tar ${image}` },
    { title: 'Pull', text: `crane pull${plain} ${image} pulled.tar` },
    { title: 'List the tags', text: `crane ls${plain} ${withoutTag(image)}` },
  ];
}

function orasLines({ host, secure }: Place, image: string): readonly Lines[] {
  const plain = secure ? '' : ' --plain-http';
  return [
    { title: 'Log in', text: `oras login${plain} ${host}` },
    { title: 'Push a file', text: `oras push${plain} ${image} report.txt:text/plain` },
    { title: 'Pull', text: `oras pull${plain} ${image}` },
    {
      title: 'Attach a file, such as an SBOM',
      text: `oras attach${plain} --artifact-type application/spdx+json ${image} sbom.json:application/spdx+json`,
    },
  ];
}

function helmLines({ host, secure }: Place, repository: string): readonly Lines[] {
  const plain = secure ? '' : ' --plain-http';
  const charts = `oci://${host}/${repository}/charts`;
  return [
    { title: 'Log in', text: `helm registry login${plain} ${host}` },
    { title: 'Push', text: `helm push${plain} app-1.0.0.tgz ${charts}` },
    { title: 'Install', text: `helm install${plain} app ${charts}/app --version 1.0.0` },
  ];
}

function ciLines({ host }: Place, image: string): readonly Lines[] {
  const build = withoutTag(image);
  return [
    {
      title: 'GitHub Actions',
      file: '.github/workflows/image.yml',
      text: [
        '- uses: docker/login-action@v3',
        '  with:',
        `    registry: ${host}`,
        '    username: ${{ secrets.REGISTRY_USER }}',
        '    password: ${{ secrets.REGISTRY_TOKEN }}',
        '- uses: docker/build-push-action@v6',
        '  with:',
        '    push: true',
        `    tags: ${build}:\${{ github.sha }}`,
      ].join('\n'),
    },
    {
      title: 'GitLab CI',
      file: '.gitlab-ci.yml',
      text: [
        'push-image:',
        '  script:',
        `    - echo "$REGISTRY_TOKEN" | docker login ${host} --username "$REGISTRY_USER" --password-stdin`,
        `    - docker build --tag ${build}:$CI_COMMIT_SHA .`,
        `    - docker push ${build}:$CI_COMMIT_SHA`,
      ].join('\n'),
    },
  ];
}

function withoutTag(image: string): string {
  return image.replace(/:1$/, '');
}

function originOf({ host, secure }: Place): string {
  return `${secure ? 'https' : 'http'}://${host}`;
}
