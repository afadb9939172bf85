import { KilnError } from '../shared/errors.js';

/** How long after ending its downloads an engine hides a page that is left. */
const kLeavingMs = 200;

interface Transition {
  persisted: boolean;
}

/**
 * Watches whether the page is left for the back-forward cache. An engine may end its downloads then. WebKit does so a moment before it
 * hides the page.
 */
export class Absence {
  private left_ = false;
  private back_ = false;
  private wake_: () => void = () => undefined;
  private readonly hidden_ = ({ persisted }: Transition): void => {
    this.left_ ||= persisted;
    this.wake_();
  };
  private readonly shown_ = ({ persisted }: Transition): void => {
    this.back_ ||= persisted;
    this.wake_();
  };

  constructor() {
    globalThis.addEventListener?.('pagehide', this.hidden_);
    globalThis.addEventListener?.('pageshow', this.shown_);
  }

  /** Whether a load failed because of that. If so, the page is back when this resolves. */
  async explains(thrown: unknown): Promise<boolean> {
    if (typeof document === 'undefined' || !(thrown instanceof KilnError) || !['network', 'stalled'].includes(thrown.code)) return false;
    if (!this.left_) await Promise.race([this.change(), new Promise((resolve) => setTimeout(resolve, kLeavingMs))]);
    while (this.left_ && !this.back_) await this.change();
    return this.back_;
  }

  end(): void {
    globalThis.removeEventListener?.('pagehide', this.hidden_);
    globalThis.removeEventListener?.('pageshow', this.shown_);
  }

  private change(): Promise<void> {
    return new Promise((resolve) => (this.wake_ = resolve));
  }
}
