import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { ImportDocument } from '../../../../src/protocol/documents/archives.js';
import type { ApiError } from '../../api.ts';
import { count, formatBytes } from '../../format.ts';
import { imageHref } from '../../image-links.ts';
import { Icon } from '../../parts/icon.tsx';
import { Problem } from '../../parts/problem.tsx';
import { announce } from '../../parts/status.tsx';
import { upload, type UploadProgress } from '../../upload-request.ts';
import { toProblem } from '../../use-answer.ts';

interface State extends UploadProgress {
  /** In bytes per second. */
  readonly rate: number;
  readonly report?: ImportDocument;
  readonly problem?: ApiError;
}

/** One upload: its progress, a button that cancels it, and its result. */
export function UploadItem({ file, url }: { readonly file: File; readonly url: string }): VNode {
  const [round, setRound] = useState(0);
  const { sent, total, rate, report, problem, cancel } = useUpload(file, url, round);
  if (report !== undefined) return <Done file={file} report={report} repository={repositoryOf(url)} />;
  if (problem !== undefined) {
    return <Problem error={problem} what={`${file.name} was not imported`} retry={() => setRound(round + 1)} />;
  }
  return (
    <div class="card upload">
      <strong>{file.name}</strong>
      <progress value={sent} max={Math.max(total, 1)} aria-label={`Progress of ${file.name}`} />
      <span>
        {sent < total || total === 0
          ? `${formatBytes(sent)} of ${formatBytes(total)}${rate > 0 ? `, ${formatBytes(rate)}/s` : ''}`
          : 'Sent. The registry is checking the archive.'}
      </span>
      <button type="button" onClick={cancel} aria-label={`Cancel ${file.name}`}>
        Cancel
      </button>
    </div>
  );
}

function useUpload(file: File, url: string, round: number): State & { readonly cancel: () => void } {
  const [state, setState] = useState<State>({ sent: 0, total: file.size, rate: 0 });
  const abort = useRef<AbortController | undefined>(undefined);
  useEffect(() => {
    const controller = new AbortController();
    abort.current = controller;
    let isShown = true;
    const began = performance.now();
    setState({ sent: 0, total: file.size, rate: 0 });
    const show = (next: State): void => void (isShown && setState(next));
    const end = (rest: Pick<State, 'report' | 'problem'>): void =>
      show({ sent: file.size, total: file.size, rate: 0, ...rest });
    const onProgress = ({ sent, total }: UploadProgress): void =>
      show({ sent, total, rate: sent / Math.max((performance.now() - began) / 1000, 0.001) });
    upload<ImportDocument>(url, file, 'application/x-tar', { signal: controller.signal, onProgress }).then(
      (report) => {
        announce(`Imported ${file.name}`);
        end({ report });
      },
      (error: unknown) => end({ problem: toProblem(error) }),
    );
    return () => {
      isShown = false;
      controller.abort();
    };
  }, [file, url, round]);
  return { ...state, cancel: () => abort.current?.abort() };
}

function repositoryOf(url: string): string {
  return /\/repositories\/([^/]+)\/import/.exec(new URL(url).pathname)?.[1] ?? '';
}

function Done({
  file,
  report: { images, blobs },
  repository,
}: {
  readonly file: File;
  readonly report: ImportDocument;
  readonly repository: string;
}): VNode {
  const { already_present: present } = blobs;
  return (
    <div class="note good">
      <Icon name="check" />
      <div>
        {file.name}:{' '}
        {images.map(({ image, tags, digest }) => (
          <a key={image + digest} href={imageHref({ repository, image }, { reference: tags[0] ?? digest })}>
            {image}
            {tags.length === 0 ? '' : `:${tags.join(', ')}`}{' '}
          </a>
        ))}
        ({formatBytes(blobs.bytes)}
        {present === 0 ? '' : `; ${count(present, 'blob was', 'blobs were')} already stored`})
      </div>
    </div>
  );
}
