// The least that answers with Javalin.
import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import io.javalin.Javalin;
import java.util.Map;
import org.slf4j.LoggerFactory;

class Hello {
  public static void main(String[] arguments) {
    // Nobody has told Logback anything: it would write hundreds of lines of Jetty's for each request.
    ((Logger) LoggerFactory.getLogger("ROOT")).setLevel(Level.INFO);
    Javalin.create(config -> config.routes.get("/", context -> context.json(Map.of("hello", "world"))))
        .start("127.0.0.1", Integer.parseInt(System.getenv("PORT")));
  }
}
