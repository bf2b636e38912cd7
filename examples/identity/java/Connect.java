// Each request has a connection of its own, which says at connect whose it is; the sidecar is the pool behind it.
//
// PostgreSQL's JDBC driver. Each line of the input is one request's token.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;
import java.util.concurrent.Executors;

public final class Connect {
    static final String URL = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");

    static Connection as(String token) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", System.getenv("PGUSER"));
        properties.setProperty("options", "-c bulkhead.context=" + token);
        return DriverManager.getConnection(URL, properties);
    }

    static String handle(String token) throws SQLException {
        try (Connection connection = as(token); Statement statement = connection.createStatement()) {
            statement.execute("INSERT INTO notes (owner, body) VALUES (current_setting('app.user_id'), 'hello')");
            var owners = new StringBuilder();
            for (var rows = statement.executeQuery("SELECT DISTINCT owner FROM notes"); rows.next(); ) owners.append(rows.getString(1));
            return owners.toString();
        }
    }

    public static void main(String[] arguments) throws Exception {
        var threads = Executors.newFixedThreadPool(4);
        var requests = new BufferedReader(new InputStreamReader(System.in)).lines();
        for (var answer : requests.map(token -> threads.submit(() -> handle(token))).toList()) System.out.println(answer.get());
        threads.shutdown();
    }
}
